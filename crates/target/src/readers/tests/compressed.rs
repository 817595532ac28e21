//! Compressed files: whole, damaged, and made to do harm.

use std::process::Command;

use super::*;

/// `name` compressed in a way, as a file beside it.
fn compress(place: &Place, name: &str, by: &[&str]) -> Vec<u8> {
    let output = Command::new(by[0]).args(&by[1..]).arg(place.path(name)).output().unwrap();
    assert!(output.status.success(), "{by:?}: {output:?}");
    output.stdout
}

const COMPRESSORS: [&[&str]; 9] = [
    &["gzip", "-c"],
    &["gzip", "-1nc"],
    &["zstd", "-qc"],
    &["zstd", "-19qc", "--check"],
    &["zstd", "-qc", "--no-check"],
    &["xz", "-c"],
    &["xz", "-0c", "--check=crc32"],
    &["xz", "-c", "--check=none"],
    &["xz", "-c", "--block-size=65536"],
];

#[test]
fn compressed_files_are_read_as_what_they_hold() {
    let place = Place::new();
    // Of each plain file the program is asked once.
    let mut said = std::collections::HashMap::new();
    for by in COMPRESSORS {
        for name in ["empty", "open", "log", "nul"] {
            let packed = compress(&place, name, by);
            let plain = std::fs::read(place.path(name)).unwrap();
            for (packed, plain) in [
                (packed.clone(), plain.clone()),
                ([packed.clone(), packed].concat(), [plain.clone(), plain].concat()),
            ] {
                std::fs::write(place.path("packed"), packed).unwrap();
                let known_len = plain.len();
                std::fs::write(place.path("plain"), plain).unwrap();
                for line in [
                    "cat",
                    "cat -n",
                    "head -3",
                    "head -c 70000",
                    "tail",
                    "tail -n 4000",
                    "tail -c 9",
                    "tail -n +2990",
                    "wc -lc",
                    "grep -c o",
                    "grep -n foo",
                ] {
                    let mut words: Vec<&str> = line.split(' ').collect();
                    words.push("@packed");
                    let ours = Place::native(&place.permit(words[0], &words)).unwrap();
                    words.pop();
                    words.push("@plain");
                    let key = (name, line, known_len);
                    let program = || Place::program(&place.permit(words[0], &words));
                    let theirs = said.entry(key).or_insert_with(program);
                    // Its name stands in the answer of wc, and binary data in its own words.
                    if name == "nul" && line.starts_with("grep -n") {
                        assert!(ours.err.contains("binary file matches"), "{ours:?}");
                        continue;
                    }
                    let same = |text: &str| {
                        text.replace("packed", "plain")
                            .split_whitespace()
                            .map(str::to_owned)
                            .collect::<Vec<_>>()
                    };
                    let equal = if line.starts_with("wc") {
                        same(&ours.out) == same(&theirs.out)
                    } else {
                        ours.out == theirs.out
                    };
                    assert!(
                        equal && ours.err == theirs.err && ours.end == theirs.end,
                        "{by:?} {name} {line}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_damaged_is_said_and_nothing_breaks() {
    let place = Place::new();
    for by in COMPRESSORS {
        let packed = compress(&place, "log", by);
        let whole = std::fs::read_to_string(place.path("log")).unwrap();
        for cut in [7, packed.len() / 2, packed.len() - 1] {
            std::fs::write(place.path("packed"), &packed[..cut]).unwrap();
            let said = Place::native(&place.permit("zcat", &["zcat", "@packed"])).unwrap();
            assert_eq!(said.end, End::Exit(1), "{by:?} {cut}: {}", said.err);
            assert!(whole.starts_with(&said.out) && said.err.starts_with("zcat: ") && said.err.len() < 200);
        }
        // Without a checksum some damage cannot be seen; none may stop the thread in its tracks.
        for at in (0..packed.len()).step_by(packed.len() / 60 + 1) {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            std::fs::write(place.path("packed"), damaged).unwrap();
            let said = Place::native(&place.permit("zcat", &["zcat", "@packed"])).unwrap();
            let checked = by[0] == "gzip" || (by[0] == "xz" && !by.contains(&"--check=none"));
            assert!(matches!(said.end, End::Exit(0 | 1)), "{by:?} {at}");
            assert!(
                !checked || at < 12 || said.end == End::Exit(1) || said.out == whole,
                "{by:?} {at}: {}",
                said.err
            );
        }
    }
}

#[test]
fn a_bomb_ends_at_the_caps() {
    let place = Place::new();
    std::fs::File::create(place.path("zeros")).unwrap().set_len(48 << 20).unwrap();
    for by in [&["gzip", "-1c"][..], &["zstd", "-qc"], &["xz", "-0c"]] {
        std::fs::write(place.path("bomb"), compress(&place, "zeros", by)).unwrap();
        let mut permit = place.permit("zcat", &["zcat", "@bomb"]);
        permit.limits.bytes = 1 << 20;
        let said = Place::native(&permit).unwrap();
        assert_eq!((said.end, said.out.len()), (End::Output, 1 << 20), "{by:?}");
        // One line that never ends, and a search that finds no end.
        let said = Place::native(&place.permit("zgrep", &["zgrep", "x", "@bomb"])).unwrap();
        assert!(said.end == End::Exit(2) && said.err.contains("a line is too long"), "{by:?}: {said:?}");
    }
    let mut permit = place.permit("tail", &["tail", "@bomb"]);
    permit.limits.seconds = 0;
    assert_eq!(Place::native(&permit).unwrap().end, End::Time);
}

#[test]
fn a_window_that_is_too_large_is_refused() {
    let place = Place::new();
    std::fs::write(
        place.path("noise"),
        (0..12_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect::<Vec<_>>(),
    )
    .unwrap();
    for by in [&["xz", "-0c", "--lzma2=preset=0,dict=64MiB"][..], &["zstd", "-1qc", "--long=25"]] {
        std::fs::write(place.path("packed"), compress(&place, "noise", by)).unwrap();
        let said = Place::native(&place.permit("zcat", &["zcat", "@packed"])).unwrap();
        assert!(said.end == End::Exit(1) && said.err.contains("MiB of memory"), "{by:?}: {}", said.err);
    }
}
