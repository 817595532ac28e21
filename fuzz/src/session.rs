//! The frames of a session: cut the same however they arrive, within one frame's memory, and made again from what they say.

use session::frame::{Decoder, Frame, FrameError, MAX_FRAME, VERSIONS};

/// Takes the first byte as the size of the pieces in which the others arrive; if it is odd a hello stands in front of them.
pub fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let mut bytes = if first % 2 == 1 { hello() } else { Vec::new() };
    bytes.extend(rest);
    let mut decoder = Decoder::default();
    let at_once = decoder.feed(&bytes);
    assert!(decoder.held() < MAX_FRAME);
    let mut pieces = Decoder::default();
    let in_pieces = arrive(&mut pieces, &bytes, usize::from(first / 2) + 1);
    assert_eq!(at_once, in_pieces);
    assert_eq!(decoder.held(), pieces.held());
    match at_once {
        Err(error) => {
            assert!(!error.to_string().is_empty() && decoder.held() == 0);
            assert_eq!(decoder.feed(&hello()), Err(error), "no way back");
        }
        Ok(frames) => again(&frames),
    }
}

fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Hello(VERSIONS).encode(&mut bytes).expect("a hello is small");
    bytes
}

fn arrive(decoder: &mut Decoder, bytes: &[u8], size: usize) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    for piece in bytes.chunks(size) {
        frames.extend(decoder.feed(piece)?);
        assert!(decoder.held() < MAX_FRAME);
    }
    Ok(frames)
}

/// What was read can be written and reads the same; a reason is cut to 4 KiB.
fn again(frames: &[Frame]) {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes).expect("it came in one frame");
    }
    let read = Decoder::default().feed(&bytes).expect("what we write we read");
    assert_eq!(read.len(), frames.len());
    for (one, other) in frames.iter().zip(&read) {
        assert!(one == other || matches!(one, Frame::End { .. } | Frame::Close(_)));
    }
}

/// A whole session, both ways.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    use session::frame::{Closing, Ending};
    let frames = [
        Frame::Request { id: 1, line: b"systemctl status unbound".to_vec() },
        Frame::Cancel { id: 1 },
        Frame::Credit { id: 1, bytes: 65536 },
        Frame::Stdout { id: 1, bytes: b"out".to_vec() },
        Frame::Stderr { id: 1, bytes: b"err".to_vec() },
        Frame::End { id: 1, ending: Ending::Exit(7) },
        Frame::End { id: 2, ending: Ending::Time },
        Frame::End { id: 3, ending: Ending::Output },
        Frame::End { id: 4, ending: Ending::Refused("no".to_owned()) },
        Frame::End { id: 5, ending: Ending::Cancelled },
        Frame::Close(Closing::Idle),
        Frame::Close(Closing::Fault("why".to_owned())),
    ];
    let of = |frame: &Frame| {
        let mut bytes = vec![1];
        frame.encode(&mut bytes).expect("a seed is small");
        bytes
    };
    let whole = frames.iter().flat_map(|f| of(f).split_off(1));
    let mut seeds: Vec<Vec<u8>> = frames.iter().map(of).collect();
    seeds.push(std::iter::once(7).chain(whole.clone()).collect());
    seeds.push([vec![6], hello(), whole.collect()].concat());
    seeds
}
