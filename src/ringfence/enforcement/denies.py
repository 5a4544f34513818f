"""Ranges that a Kamailio refuses to everyone, whether or not Ringfence runs: satellite and global networks, and numbers abroad that are
sold as revenue share.

Never a whole country: a customer may have family anywhere. Never the operator's own country, where premium numbers are the customer's
choice; `class_table` leaves them out. The one thing to know: of the ranges in a country, every number that its numbering plan allows is
premium or personal, which a test holds against libphonenumber.
"""

GLOBAL_DENIES = ("870", "878", "881", "882", "883", "979")
"""Inmarsat, universal personal numbers, satellite mobile, international networks (two), international premium rate."""

FOREIGN_PREMIUM_DENIES = tuple(
    (
        # North America
        "1900 "
        # Africa
        "20900 21289 21688 221884 221886 221888 22709 23030 231332 24090 24280 250900 254900 25590 256901 256902 256903 2648701 26790 "
        "268900 2698 2790 "
        # Europe
        "297900 298901 298902 298903 298904 298905 298909 30901 30909 31900 31906 31909 3290 3389 34803 34806 34807 351601 351607 351608 "
        "351646 351648 35176 352900 352905 354900 354901 354902 355900 35651 35652 357900 357909 358600 358700 35990 3690 3691 370900 "
        "370902 370903 370909 37190 37240 372900 373900 373906 374900 374906 375902 3809002 3809003 3809009 38178 381900 381906 381909 "
        "382941 382945 382948 382951 38560 38561 38564 38565 38569 38690 386891 386892 386893 38790 38792 38794 38796 3895 39144 39163 "
        "39164 39166 39892 39894 39895 39899 40900 40903 40906 41900 41901 41906 420900 420905 420906 420908 420909 420976 421900 42197 "
        "42198 43900 43901 43930 43931 43939 4470 4490 4491 4498 4590 46900 46939 46944 46991 46992 46993 46994 46995 46999 47820 47829 "
        "48700 48701 48703 48704 48706 48708 49900 "
        # Latin America
        "50219 503900 506900 507900 52900 54600 55900 57190 58900 598900 "
        # Asia and Pacific
        "61190 6490 7803 7809 81990 841900 852900 88620 90888 90898 90900 92900 968900 971900 97219 97390"
    ).split()
)

STATIC_DENIES = GLOBAL_DENIES + FOREIGN_PREMIUM_DENIES
