//! What a session takes of a target's memory: less than 8 MiB with 64 requests in flight, whatever they are.
//!
//! Counted is the wrapper's own process, all of it (its peak, with the pages of its file), and what its children between fork and exec have
//! written of their own. What a program takes once it runs is the program's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::io::{Read, Write};
use std::process::{Child, Stdio};

use e2e::Lab;
use session::frame::{Decoder, Ending, FIRST_CREDIT, Frame, VERSIONS};

const HOST: &str = "t2";
const IN_FLIGHT: u32 = 64;
/// In KiB.
const MOST: u64 = 8 << 10;
/// In KiB: the largest window that a decoder takes, of which there is one at a time.
const WINDOW: u64 = 8 << 10;

/// Files that are larger than what a peer that does not read is sent, in every form that is read natively. The Zstandard one asks for the
/// window of `zstd -3`, 2 MiB, the xz one for that of `xz -6`, 8 MiB.
const FILES: &str = r"
import gzip, lzma, random, os
random.seed(1)
words = [b'%06x' % random.getrandbits(24) for _ in range(5000)]
lines = b''.join(b'Nov 26 00:00:00 host ' + b' '.join(random.choices(words, k=9)) + b'\n' for _ in range(20000))
text = lines * 8
frame = b'\x28\xb5\x2f\xfd\x00' + bytes([11 << 3])
pieces = [text[at:at + 100000] for at in range(0, len(text), 100000)]
for piece in pieces:
    frame += (len(piece) << 3).to_bytes(3, 'little') + piece
frame += (1).to_bytes(3, 'little')
xz = [dict(id=lzma.FILTER_LZMA2, preset=0, dict_size=8 << 20)]
for name, content in [('log', text), ('log.gz', gzip.compress(text, 1)), ('log.zst', frame), ('log.xz', lzma.compress(text, filters=xz))]:
    with open('/var/log/memory.' + name, 'wb') as file: file.write(content)
    os.chmod('/var/log/memory.' + name, 0o644)
";

/// The files, gone at the end however the test ends.
struct Files<'a>(&'a Lab);

impl<'a> Files<'a> {
    fn new(lab: &'a Lab) -> Self {
        let files = Self(lab);
        lab.must(HOST, &format!("python3 - <<'END'\n{FILES}\nEND"));
        files
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        self.0.root(HOST, "rm -f /var/log/memory.log*");
    }
}

/// A session of the reader's over the host's real sshd; it ends with the value.
struct Session {
    client: Child,
    decoder: Decoder,
    pid: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Session {
    fn open(lab: &Lab) -> Self {
        let mut command = lab.ssh("mcp-reader", HOST, &[]);
        command.arg("mcp-session").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session =
            Self { client: command.spawn().unwrap(), decoder: Decoder::default(), pid: String::new() };
        session.send(&Frame::Hello(VERSIONS));
        assert_eq!(session.next(), [Frame::Hello(VERSIONS)]);
        session.pid = lab.must(HOST, "pgrep -n -u mcp-reader -x mcp-wrapper");
        session
    }

    fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        let stdin = self.client.stdin.as_mut().unwrap();
        stdin.write_all(&bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// The frames that come next.
    fn next(&mut self) -> Vec<Frame> {
        loop {
            let mut chunk = [0; 16 << 10];
            let size = self.client.stdout.as_mut().unwrap().read(&mut chunk).unwrap();
            assert!(size > 0, "the session has ended");
            let frames = self.decoder.feed(&chunk[..size]).unwrap();
            if !frames.is_empty() {
                return frames;
            }
        }
    }

    /// Asks for as many at once, and waits until so many of them have sent all that they may: none has ended then.
    fn stall(&mut self, line: &str, full: usize) {
        for id in 1..=IN_FLIGHT {
            self.send(&Frame::Request { id, line: line.as_bytes().to_vec() });
        }
        let mut sent = vec![0; IN_FLIGHT as usize + 1];
        while sent.iter().filter(|bytes| **bytes >= FIRST_CREDIT as usize).count() < full {
            for frame in self.next() {
                match frame {
                    Frame::Stdout { id, bytes } => sent[usize::try_from(id).unwrap()] += bytes.len(),
                    other => panic!("{line}: {other:?}"),
                }
            }
        }
    }

    /// KiB: the peak of its resident memory, and what children that are still the wrapper have of their own.
    fn memory(&self, lab: &Lab) -> u64 {
        let script = format!(
            "own=$(awk '/VmHWM/ {{ print $2 }}' /proc/{pid}/status); most=0
             for look in $(seq 20); do
               sum=0
               for child in $(pgrep -P {pid}); do
                 case $(readlink /proc/$child/exe) in */mcp-wrapper)
                   sum=$((sum + $(awk '/Private_Dirty/ {{ print $2 }}' /proc/$child/smaps_rollup 2>/dev/null || echo 0))) ;;
                 esac
               done
               [ $sum -gt $most ] && most=$sum
             done
             echo $((own + most))",
            pid = self.pid
        );
        lab.must(HOST, &script).parse().unwrap()
    }
}

#[test]
fn sixty_four_requests_in_flight_take_less_than_eight_mebibytes() {
    let lab = Lab::get();
    let _files = Files::new(&lab);
    // Of decoders with a window one works at a time; of the others as many as requests run.
    for (line, full) in [
        ("cat /var/log/memory.log", 16),
        ("head -n 10000 /var/log/memory.log", 16),
        ("grep host /var/log/memory.log", 16),
        ("zcat /var/log/memory.log.gz", 16),
        ("zstdcat /var/log/memory.log.zst", 1),
        ("xzcat /var/log/memory.log.xz", 1),
        ("find /usr/share -type f", 16),
    ] {
        let mut session = Session::open(&lab);
        session.stall(line, full);
        let memory = session.memory(&lab);
        println!("{line}: {memory} KiB");
        assert!((1 << 10..MOST).contains(&memory), "{line}: {memory} KiB");
    }
}

/// The one thing that takes more: a file with a window of that size, read to its end. There is one such window, not one for each request.
#[test]
fn large_windows_are_there_one_at_a_time() {
    let lab = Lab::get();
    let _files = Files::new(&lab);
    let mut session = Session::open(&lab);
    for id in 1..=IN_FLIGHT {
        session.send(&Frame::Request { id, line: b"zgrep -c nowhere /var/log/memory.log.xz".to_vec() });
    }
    let mut ended = 0;
    while ended < 2 {
        for frame in session.next() {
            match frame {
                Frame::Stdout { bytes, .. } => assert_eq!(bytes, b"0\n"),
                Frame::End { ending, .. } => {
                    assert_eq!(ending, Ending::Exit(1));
                    ended += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let memory = session.memory(&lab);
    println!("xz with a window of 8 MiB: {memory} KiB");
    assert!((WINDOW..WINDOW + MOST).contains(&memory), "{memory} KiB");
}
