//! What is left of a long answer: clean pages in memory, each behind a handle that only its caller can use.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

/// How long a page is kept.
pub const KEPT_SECONDS: u64 = 600;
/// Most bytes of all answers together.
const ALL_BYTES: usize = 16 << 20;
/// Most bytes of one caller's answers.
const CALLER_BYTES: usize = 8 << 20;
/// Most bytes that are kept of one answer.
const ANSWER_BYTES: usize = 2 << 20;

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its rows.
    pub rows: Vec<Value>,
    /// The same as text.
    pub text: String,
}

impl Page {
    fn bytes(&self) -> usize {
        // What is held twice counts twice; the rest of a value's size in memory is a small factor of this.
        self.text.len() + self.rows.iter().map(|r| r.to_string().len()).sum::<usize>()
    }
}

/// A page that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The page.
    pub page: Page,
    /// Host that it is from.
    pub host: String,
    /// Tool that asked.
    pub tool: String,
    /// Handle of the page behind it.
    pub next: Option<String>,
}

/// What was kept of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Handle of the first page.
    pub handle: String,
    /// Whether pages are missing at the end.
    pub truncated: bool,
}

#[derive(Debug)]
struct Answer {
    caller: String,
    host: String,
    tool: String,
    pages: Vec<Page>,
    bytes: usize,
    since: Instant,
    number: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    answers: BTreeMap<String, Answer>,
    next_number: u64,
}

/// The pages of all callers: bounded, and gone after [`KEPT_SECONDS`].
#[derive(Debug, Default)]
pub struct Pages(Mutex<Shelf>);

impl Pages {
    /// Keeps pages for a caller. `None` when there are none, or no random bytes for a handle.
    pub fn keep(&self, caller: &str, host: &str, tool: &str, pages: Vec<Page>) -> Option<Kept> {
        self.keep_at(caller, host, tool, pages, Instant::now())
    }

    /// The page of a handle. `None` alike for a handle that is unknown, too old, or another caller's.
    pub fn find(&self, caller: &str, handle: &str) -> Option<Found> {
        self.find_at(caller, handle, Instant::now())
    }

    fn keep_at(
        &self,
        caller: &str,
        host: &str,
        tool: &str,
        mut pages: Vec<Page>,
        now: Instant,
    ) -> Option<Kept> {
        let mut bytes = 0;
        let all = pages.len();
        let fitting = pages.iter().take_while(|page| {
            bytes += page.bytes();
            bytes <= ANSWER_BYTES
        });
        let fitting = fitting.count();
        pages.truncate(fitting);
        if pages.is_empty() {
            return None;
        }
        let bytes = pages.iter().map(Page::bytes).sum();
        let id = random_id()?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(now);
        let number = kept.next_number;
        kept.next_number += 1;
        let answer = Answer {
            caller: caller.to_owned(),
            host: host.to_owned(),
            tool: tool.to_owned(),
            pages,
            bytes,
            since: now,
            number,
        };
        kept.answers.insert(id.clone(), answer);
        kept.make_room(caller);
        Some(Kept { handle: format!("{id}-0"), truncated: fitting < all })
    }

    fn find_at(&self, caller: &str, handle: &str, now: Instant) -> Option<Found> {
        let (id, number) = handle.split_once('-')?;
        let number: usize = number.parse().ok()?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(now);
        let answer = kept.answers.get(id).filter(|a| a.caller == caller)?;
        let page = answer.pages.get(number)?.clone();
        let next = (number + 1 < answer.pages.len()).then(|| format!("{id}-{}", number + 1));
        Some(Found { page, host: answer.host.clone(), tool: answer.tool.clone(), next })
    }
}

impl Shelf {
    fn expire(&mut self, now: Instant) {
        let kept = Duration::from_secs(KEPT_SECONDS);
        self.answers.retain(|_, a| now.saturating_duration_since(a.since) < kept);
    }

    /// Drops the oldest answers: first of a caller who has too much, so that nobody pushes out the others'.
    fn make_room(&mut self, caller: &str) {
        while self.bytes(|a| a.caller == caller) > CALLER_BYTES {
            self.drop_oldest(|a| a.caller == caller);
        }
        while self.bytes(|_| true) > ALL_BYTES {
            self.drop_oldest(|_| true);
        }
    }

    fn bytes(&self, of: impl Fn(&Answer) -> bool) -> usize {
        self.answers.values().filter(|a| of(a)).map(|a| a.bytes).sum()
    }

    fn drop_oldest(&mut self, of: impl Fn(&Answer) -> bool) {
        let oldest = self.answers.iter().filter(|(_, a)| of(a)).min_by_key(|(_, a)| a.number);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.answers.remove(&id);
        }
    }
}

/// 128 random bits in hex.
fn random_id() -> Option<String> {
    let mut random = [0_u8; 16];
    SystemRandom::new().fill(&mut random).ok()?;
    Some(random.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page { rows: vec![Value::from(text)], text: text.to_owned() }
    }

    fn keep(pages: &Pages, caller: &str, texts: &[&str]) -> String {
        pages.keep(caller, "web01", "get_processes", texts.iter().map(|t| page(t)).collect()).unwrap().handle
    }

    #[test]
    fn pages_follow_one_another_and_can_be_read_again() {
        let pages = Pages::default();
        let first = keep(&pages, "a", &["one", "two"]);
        assert_eq!(first.len(), 34, "128 bits and a number: {first}");
        let found = pages.find("a", &first).unwrap();
        assert_eq!((found.page.text.as_str(), found.host.as_str()), ("one", "web01"));
        let second = pages.find("a", &found.next.unwrap()).unwrap();
        assert_eq!((second.page.text.as_str(), second.next), ("two", None));
        assert_eq!(pages.find("a", &first).unwrap().page.text, "one");
        assert_ne!(keep(&pages, "a", &["one"])[..32], first[..32]);
    }

    #[test]
    fn a_handle_is_its_callers_alone() {
        let pages = Pages::default();
        let handle = keep(&pages, "alice", &["hers"]);
        let unknown = format!("{}-0", "0".repeat(32));
        assert_eq!(pages.find("mallory", &handle), None);
        assert_eq!(pages.find("mallory", &unknown), None);
        for odd in ["", "-", "-0", &handle[..32], &format!("{}-1", &handle[..32]), "x-99999999999999999999"] {
            assert_eq!(pages.find("alice", odd), None, "{odd}");
        }
        assert_eq!(pages.find("alice", &handle).unwrap().page.text, "hers");
    }

    #[test]
    fn a_page_is_gone_after_ten_minutes() {
        let pages = Pages::default();
        let start = Instant::now();
        let kept = pages.keep_at("a", "h", "t", vec![page("x")], start).unwrap();
        assert!(pages.find_at("a", &kept.handle, start + Duration::from_secs(KEPT_SECONDS - 1)).is_some());
        assert_eq!(pages.find_at("a", &kept.handle, start + Duration::from_secs(KEPT_SECONDS)), None);
        assert!(pages.0.lock().unwrap().answers.is_empty(), "and takes no memory");
    }

    #[test]
    fn memory_is_bounded_and_one_caller_does_not_push_out_another() {
        let pages = Pages::default();
        let hers = keep(&pages, "alice", &["hers"]);
        let big = "x".repeat(ANSWER_BYTES / 4);
        let first = keep(&pages, "mallory", &[&big]);
        for _ in 0..40 {
            keep(&pages, "mallory", &[&big]);
        }
        assert_eq!(pages.find("mallory", &first), None, "the oldest is gone");
        assert!(pages.find("alice", &hers).is_some());
        for caller in 0..8 {
            for _ in 0..20 {
                keep(&pages, &format!("c{caller}"), &[&big]);
            }
        }
        let shelf = pages.0.lock().unwrap();
        assert!(shelf.bytes(|_| true) <= ALL_BYTES);
    }

    #[test]
    fn an_answer_that_is_too_large_says_so() {
        let pages = Pages::default();
        let part = page(&"x".repeat(ANSWER_BYTES / 5));
        let kept = pages.keep("a", "h", "t", vec![part; 8]).unwrap();
        assert!(kept.truncated);
        assert!(pages.keep("a", "h", "t", vec![page(&"x".repeat(ANSWER_BYTES))]).is_none());
        assert!(pages.keep("a", "h", "t", Vec::new()).is_none());
    }
}
