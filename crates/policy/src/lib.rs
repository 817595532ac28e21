//! Words, forms and verdicts: the pure judge that server and target share.
