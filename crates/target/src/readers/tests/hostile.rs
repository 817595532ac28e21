//! Files and patterns made to take time and memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;

/// A line that is one long row of matches: each is found from where the last one ended. What looked through the line for each of them
/// again would not be done within the deadline.
#[test]
fn many_matches_in_a_line_take_time_linear_in_it() {
    let place = Place::new();
    let mut wide = "aB".repeat(120 << 10).into_bytes();
    wide.push(b'\n');
    std::fs::write(place.path("wide"), wide).unwrap();
    for words in [
        &["grep", "-o", "a", "@wide"][..],
        &["grep", "-oi", "B", "@wide"],
        &["grep", "-oE", "[aB]", "@wide"],
        &["grep", "-ob", "ax*", "@wide"],
        &["grep", "-oF", "-e", "B", "-e", "a", "-e", "never", "@wide"],
    ] {
        assert!(place.same(words), "{words:?} is served");
    }
    place.agrees();
}

/// A pattern whose automaton would be large is not compiled; the largest that is ends in time (a line of the longest kind takes twelve times what this one does).
#[test]
fn a_pattern_takes_bounded_time_for_the_longest_line() {
    let place = Place::new();
    let mut long = vec![b'a'; 20 << 10];
    long.push(b'\n');
    std::fs::write(place.path("wide"), long).unwrap();
    let repeated =
        |pieces: usize, times: usize| format!("{}[z]", format!("[ab]{{0,{times}}}").repeat(pieces));
    let serves = |patterns: &[&str]| {
        let mut words = vec!["grep", "-cE"];
        words.extend(patterns.iter().flat_map(|pattern| ["-e", pattern]));
        words.push("@wide");
        let mut paths = Paths::beneath("/");
        paths.system = true;
        of(&paths, &place.permit("grep", &words)).unwrap()
    };
    let once = |times: usize| serves(&[&repeated(1, times)]).is_some();
    assert!(serves(&[&repeated(8, 999)]).is_none() && serves(&["((a{0,99}){0,99}){0,99}[z]"]).is_none());
    let largest = (1..=999).rev().step_by(20).find(|times| once(*times)).unwrap();
    let pattern = repeated(1, largest);
    assert!(serves(&[&pattern, &pattern]).is_none(), "together they are larger");
    let permit = place.permit("grep", &["grep", "-cE", &pattern, "@wide"]);
    let started = Instant::now();
    let seen = Place::native(&permit).unwrap();
    println!("[ab]{{0,{largest}}}[z]: {:?}", started.elapsed());
    assert_eq!((seen.out.as_str(), seen.end), ("0\n", End::Exit(1)));
}

/// As `lastlog` is: a terabyte of hole. The look that finds no text in it ends at once, `tail` reads its end alone.
#[test]
fn a_hole_is_not_read_through() {
    static ALL: AtomicUsize = AtomicUsize::new(0);
    let place = Place::new();
    let file = std::fs::File::create(place.path("hole")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(Place::native(&place.permit("grep", &["grep", "-c", "x", "@hole"])), None);
    let seen = Place::native(&place.permit("tail", &["tail", "-c", "3", "@hole"])).unwrap();
    assert_eq!((seen.out.as_str(), seen.end), ("\0\0\0", End::Exit(0)));
    // What looks for lines in it ends at the deadline, and so does its thread, for which nobody waits.
    for words in [&["tail", "-n", "3", "@hole"][..], &["wc", "-l", "@hole"], &["cat", "-s", "@hole"]] {
        let mut permit = place.permit(words[0], words);
        permit.limits.seconds = 1;
        let mut paths = Paths::beneath("/");
        paths.system = true;
        let reader = of(&paths, &permit).unwrap().unwrap();
        let (mut out, mut err) = (Sink::keep(100), Sink::keep(100));
        let end = relay::among(&ALL, reader, None, &permit, &mut out, &mut err).unwrap().unwrap();
        assert!(matches!(end, End::Time | End::Output), "{words:?}: {end:?}");
        let ended = Instant::now();
        while ALL.load(Ordering::Acquire) > 0 {
            assert!(ended.elapsed().as_secs() < 10, "{words:?} is still at work");
            std::thread::yield_now();
        }
    }
}

#[test]
fn nothing_is_the_end_of_a_file_of_any_size() {
    let place = Place::new();
    for words in
        [&["tail", "-n", "0", "@log"][..], &["tail", "-n", "0", "@big"], &["tail", "-c", "0", "@big"]]
    {
        assert!(place.same(words), "{words:?} is served");
    }
    place.agrees();
}

/// Threads that nobody waits for may still be at work: there are so many and no more.
#[test]
fn readers_that_have_not_ended_are_counted() {
    static ALL: AtomicUsize = AtomicUsize::new(0);
    let place = Place::new();
    let mut paths = Paths::beneath("/");
    paths.system = true;
    let ask = |native: &str| {
        let permit = place.permit(native, &[native, "@open"]);
        let reader = of(&paths, &permit).unwrap().unwrap();
        let (mut out, mut err) = (Sink::keep(100), Sink::keep(100));
        let end = relay::among(&ALL, reader, None, &permit, &mut out, &mut err);
        (end, out.text())
    };
    let served = || (Ok(Some(End::Exit(0))), "one foo\ntwo\nfoo bar".to_owned());
    assert_eq!((ask("cat"), ask("zcat")), (served(), served()));
    let at_work: Vec<_> = std::iter::from_fn(|| relay::Alive::count(&ALL)).collect();
    assert_eq!(at_work.len(), relay::THREADS);
    assert_eq!(ask("cat"), (Ok(None), String::new()), "the program serves it");
    let (end, out) = ask("zcat");
    assert!(end.is_err_and(|e| e.contains("too many")) && out.is_empty());
    drop(at_work);
    assert_eq!(ask("zcat"), served());
}
