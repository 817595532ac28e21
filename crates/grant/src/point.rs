//! Ed25519 points that no honest key or signature has.
//!
//! A point of small order as public key makes one signature fit many messages, and as R it helps such forgeries.
//! `ring` takes both, so they are refused here. It does check that S is below the group's order.

/// The y coordinates, sign bit cleared, of the eight points whose order divides 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    with_first(1, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    // p - 1
    with_first(0xec, 0xff, 0x7f),
];

const fn with_first(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Why this encoded point is refused, if it is.
pub(crate) fn refuse(point: &[u8; 32]) -> Option<&'static str> {
    let mut y = *point;
    y[31] &= 0x7f;
    if SMALL_ORDER.contains(&y) {
        return Some("a point of small order");
    }
    // p is 2^255 - 19, so every y from p up begins (little end) at 0xed and is all ones after
    let above_p = y[0] >= 0xed && y[1..31].iter().all(|b| *b == 0xff) && y[31] == 0x7f;
    above_p.then_some("a point in non-canonical form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_order_points_are_refused_with_either_sign() {
        for point in SMALL_ORDER {
            let mut other = point;
            other[31] |= 0x80;
            assert_eq!(refuse(&point), Some("a point of small order"));
            assert_eq!(refuse(&other), Some("a point of small order"));
        }
    }

    #[test]
    fn only_values_below_p_are_canonical() {
        for first in 0xed..=0xff {
            assert_eq!(refuse(&with_first(first, 0xff, 0x7f)), Some("a point in non-canonical form"));
            assert_eq!(refuse(&with_first(first, 0xff, 0xff)), Some("a point in non-canonical form"));
        }
        assert_eq!(refuse(&with_first(0xeb, 0xff, 0x7f)), None);
        assert_eq!(refuse(&with_first(0xed, 0xfe, 0x7f)), None);
    }
}
