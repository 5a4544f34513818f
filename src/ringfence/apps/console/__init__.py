"""The console: server-rendered pages for people, live through server-sent events. Decides nothing; orders go to services or policy."""
