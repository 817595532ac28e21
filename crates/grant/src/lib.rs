//! Statements, signatures and thresholds: what makes an approval, and why one is refused.
