"""One HTTP request as it arrives: bytes in, notes out, every limit on size held. Sans-IO.

Over httptools (llhttp), which reads strictly: two lengths, a length beside chunks or a broken line are refused there. Its callbacks
only take notes. The one thing to know: raw bytes count, so that neither a header line nor a chunk extension without end passes a limit.
"""

import httptools

from ringfence.apps.acs.wire import Limits, Post, RefusedError, charset_of, check_head, inflate, read_headers


class Reading:
    """A request until it is whole. After `feed`: `refusal` says why it ends here, `done` that it is whole."""

    __slots__ = (
        "_body",
        "_limits",
        "_pairs",
        "_parsed_bytes",
        "_parser",
        "_raw_bytes",
        "_target",
        "body_bytes",
        "done",
        "headers",
        "keep",
        "legacy",
        "path",
        "refusal",
        "started",
        "whole_head",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._pairs: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._body: list[bytes] = []
        self._raw_bytes = 0
        self._parsed_bytes = 0
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body_bytes = 0
        """Bytes of the body as they arrived, with what is around chunks."""
        self.started = False
        self.whole_head = False
        self.done = False
        self.keep = True
        """Whether the connection may stay afterwards."""
        self.legacy = False
        self.refusal: RefusedError | None = None

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        in_head, self.started = not self.whole_head, True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.refusal = RefusedError(501, "There is nothing to upgrade to.", reason="upgrade")
        except httptools.HttpParserError:
            if self.done:
                self.keep = False  # Noise behind a request that is whole.
            else:
                self.refusal = self.refusal or RefusedError(400, "That is no HTTP.", reason="not_http")
        if not self.done and self.refusal is None:
            self._count(sum(map(len, self._body)) if in_head and self.whole_head else len(data), in_head=not self.whole_head)

    @property
    def wants_continue(self) -> bool:
        """Whether the device waits for 100 before it sends its body (RFC 9110 10.1.1: not one of HTTP/1.0)."""
        return "expect" in self.headers and not self.legacy and not self.body_bytes and not self.done

    def post(self) -> Post:
        """The whole request, its body inflated. RefusedError when the body cannot be."""
        headers = self.headers
        body = inflate(b"".join(self._body), headers.get("content-encoding", ""), limit=self._limits.body_bytes)
        self.forget()
        return Post(path=self.path, headers=headers, body=body, charset=charset_of(headers), legacy=self.legacy)

    def forget(self) -> None:
        """Let go of the body."""
        self._body.clear()

    def _count(self, size: int, *, in_head: bool) -> None:
        limits = self._limits
        if in_head:
            self._raw_bytes += size
            if self._raw_bytes > limits.header_bytes:
                self.refusal = RefusedError(431, "The header is too long.", reason="header_too_large")
        else:
            self.body_bytes += size
            if self.body_bytes > limits.body_bytes + limits.header_bytes:
                self.refusal = RefusedError(413, "The body is too long.", reason="body_too_large")

    # What the parser calls. After `done` another request begins in the same bytes; CWMP has one under way (TR-069 3.4), so it is not read.

    def on_message_begin(self) -> None:
        """The first byte of a request that is no line end."""
        if self.done:
            self.keep = False

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        if not self.done:
            self._target += url
            self._parsed_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or behind the body a trailer, which nobody needs."""
        if not self.whole_head:
            self._parsed_bytes += len(name) + len(value) + 4
            self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: may it go on?"""
        if self.done or self.refusal is not None:
            return
        self.whole_head = True
        limits = self._limits
        try:
            if self._parsed_bytes > limits.header_bytes or len(self._pairs) > limits.headers:
                raise RefusedError(431, "The header is too long.", reason="header_too_large")
            self.headers = read_headers(self._pairs)
            self.path = check_head(self._parser.get_method(), self._target, self.headers, body_bytes=limits.body_bytes)
            self.legacy = self._parser.get_http_version() == "1.0"
            self.keep = self._parser.should_keep_alive()
        except RefusedError as error:
            self.refusal = error

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self.done and self.refusal is None:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.refusal is None:
            self.done = True
