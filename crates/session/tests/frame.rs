//! The frames of a session: any chunking gives the same frames, and no bytes do harm.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use proptest::collection::vec;
use proptest::prelude::*;
use session::frame::{
    Closing, Decoder, Ending, Frame, FrameError, HEADER, MAX_FRAME, MAX_PAYLOAD, VERSIONS, Versions,
};

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        any::<u8>().prop_map(Ending::Exit),
        Just(Ending::Time),
        Just(Ending::Output),
        "\\PC{0,80}".prop_map(Ending::Refused),
        Just(Ending::Cancelled),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let id = 1..=u32::MAX;
    prop_oneof![
        (id.clone(), vec(any::<u8>(), 0..300)).prop_map(|(id, line)| Frame::Request { id, line }),
        id.clone().prop_map(|id| Frame::Cancel { id }),
        (id.clone(), any::<u32>()).prop_map(|(id, bytes)| Frame::Credit { id, bytes }),
        (id.clone(), vec(any::<u8>(), 1..5000)).prop_map(|(id, bytes)| Frame::Stdout { id, bytes }),
        (id.clone(), vec(any::<u8>(), 1..300)).prop_map(|(id, bytes)| Frame::Stderr { id, bytes }),
        (id, ending()).prop_map(|(id, ending)| Frame::End { id, ending }),
        prop_oneof![Just(Closing::Idle), "\\PC{0,80}".prop_map(Closing::Fault)].prop_map(Frame::Close),
    ]
}

fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes).unwrap();
    }
    bytes
}

/// Feeds in pieces of the given sizes, over and over.
fn feed(decoder: &mut Decoder, mut bytes: &[u8], sizes: &[usize]) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (now, later) = bytes.split_at((*size).min(bytes.len()));
        frames.extend(decoder.feed(now)?);
        assert!(decoder.held() < MAX_FRAME);
        bytes = later;
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_frames(rest in vec(frame(), 0..12), sizes in vec(1_usize..200, 1..8)) {
        let frames: Vec<Frame> = std::iter::once(Frame::Hello(VERSIONS)).chain(rest).collect();
        let bytes = bytes_of(&frames);
        prop_assert_eq!(&feed(&mut Decoder::default(), &bytes, &sizes).unwrap(), &frames);
        prop_assert_eq!(&feed(&mut Decoder::default(), &bytes, &[1]).unwrap(), &frames);
        prop_assert_eq!(&feed(&mut Decoder::default(), &bytes, &[usize::MAX]).unwrap(), &frames);
    }

    #[test]
    fn no_bytes_do_harm(noise in vec(any::<u8>(), 0..400), sizes in vec(1_usize..50, 1..8), greeted: bool) {
        let mut bytes = if greeted { bytes_of(&[Frame::Hello(VERSIONS)]) } else { Vec::new() };
        bytes.extend(noise);
        let mut decoder = Decoder::default();
        let in_pieces = feed(&mut decoder, &bytes, &sizes);
        let mut second = Decoder::default();
        let at_once = second.feed(&bytes);
        prop_assert_eq!(&in_pieces, &at_once);
        if let Err(error) = in_pieces {
            prop_assert_eq!((decoder.feed(b""), decoder.held()), (Err(error), 0));
        }
    }

    #[test]
    fn a_changed_byte_is_never_a_panic(rest in vec(frame(), 1..6), place: prop::sample::Index, flip in 1_u8..) {
        let mut bytes = bytes_of(&[Frame::Hello(VERSIONS)]);
        bytes.extend(bytes_of(&rest));
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        let _ = feed(&mut Decoder::default(), &bytes, &[7]);
    }
}

fn raw(length: u32, kind: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), payload].concat()
}

fn after_hello(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = Decoder::default();
    decoder.feed(&bytes_of(&[Frame::Hello(VERSIONS)])).unwrap();
    decoder.feed(bytes)
}

#[test]
fn a_wrong_header_is_refused_before_its_payload_comes() {
    let large = u32::try_from(MAX_PAYLOAD).unwrap() + 1;
    assert_eq!(after_hello(&raw(large, 2, 1, b"")), Err(FrameError::TooLarge(large.into())));
    assert_eq!(after_hello(&raw(u32::MAX, 5, 1, b"")), Err(FrameError::TooLarge(u32::MAX.into())));
    assert_eq!(after_hello(&raw(5, 9, 1, b"")), Err(FrameError::UnknownType(9)));
    assert_eq!(after_hello(&raw(5, 0, 1, b"")), Err(FrameError::UnknownType(0)));
}

#[test]
fn the_largest_frame_passes_and_one_byte_more_is_not_made() {
    let line = vec![b'x'; MAX_PAYLOAD];
    let mut bytes = Vec::new();
    Frame::Request { id: 1, line: line.clone() }.encode(&mut bytes).unwrap();
    assert_eq!(bytes.len(), MAX_FRAME);
    assert_eq!(after_hello(&bytes).unwrap(), [Frame::Request { id: 1, line }]);
    let mut none = Vec::new();
    let more = Frame::Request { id: 1, line: vec![b'x'; MAX_PAYLOAD + 1] };
    assert!(more.encode(&mut none).is_err() && none.is_empty());
}

#[test]
fn what_is_no_frame_is_an_error() {
    for (what, bytes) in [
        ("a request without id", raw(1, 2, 0, b"x")),
        ("a close with an id", raw(1, 8, 1, &[0])),
        ("a cancel with a payload", raw(1, 3, 1, b"x")),
        ("a short credit", raw(3, 4, 1, b"xxx")),
        ("empty output", raw(0, 5, 1, b"")),
        ("an unknown end", raw(1, 7, 1, &[9])),
        ("an exit without status", raw(1, 7, 1, &[0])),
        ("a reason that is no text", raw(2, 7, 1, &[3, 0xff])),
        ("an unknown close", raw(1, 8, 0, &[7])),
        ("a second hello", bytes_of(&[Frame::Hello(VERSIONS)])),
    ] {
        assert!(after_hello(&bytes).is_err(), "{what}");
    }
}

#[test]
fn only_a_hello_begins_a_session() {
    for bytes in [&b"mcp-wrapper: blocked: no such command\n"[..], b"out:mcp-session\n", &raw(1, 2, 1, b"x")]
    {
        assert_eq!(Decoder::default().feed(bytes), Err(FrameError::Hello), "{bytes:?}");
    }
    assert_eq!(Decoder::default().feed(&raw(8, 1, 0, b"nope\0\x01\0\x01")), Err(FrameError::Hello));
    assert!(Decoder::default().feed(&raw(8, 1, 0, b"mcps\0\x02\0\x01")).is_err());
    // A later version may say more in its hello.
    let later = Decoder::default().feed(&raw(10, 1, 0, b"mcps\0\x01\0\x05zz")).unwrap();
    assert_eq!(later, [Frame::Hello(Versions { lowest: 1, highest: 5 })]);
}

#[test]
fn neighbouring_versions_work_together_and_others_say_why_not() {
    let of = |lowest, highest| Versions { lowest, highest };
    assert_eq!(of(1, 2).common(of(2, 3)), Ok(2));
    assert_eq!(of(2, 3).common(of(1, 2)), Ok(2));
    assert_eq!(of(1, 4).common(of(1, 3)), Ok(3));
    let error = of(1, 1).common(of(3, 4)).unwrap_err().to_string();
    assert!(error.contains("1 to 1") && error.contains("3 to 4"), "{error}");
}

/// What each release speaks; a release adds its row, and none is changed.
const RELEASES: &[(&str, Versions)] = &[("0.1", Versions { lowest: 1, highest: 1 })];

#[test]
fn every_release_speaks_with_the_one_before_it() {
    assert_eq!(RELEASES.last().unwrap().1, VERSIONS, "the newest row is this program");
    for pair in RELEASES.windows(2) {
        let ((older, a), (newer, b)) = (pair[0], pair[1]);
        assert!(a.common(b).is_ok() && b.highest >= a.highest, "{older} and {newer}");
    }
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let mut bytes = Vec::new();
    Frame::End { id: 1, ending: Ending::Refused("é".repeat(40_000)) }.encode(&mut bytes).unwrap();
    assert!(bytes.len() <= HEADER + 1 + 4096);
    assert!(after_hello(&bytes).is_ok());
}
