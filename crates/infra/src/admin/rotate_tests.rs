//! Rotation against hosts that are sets of keys, cut off at every single thing that it asks of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::ssh::{beside, key_lines, make_private_key};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// Hosts, what they take, and the moment at which the program is cut off.
struct Fake {
    keys: Mutex<BTreeMap<String, BTreeSet<String>>>,
    down: Mutex<BTreeSet<String>>,
    asked: AtomicUsize,
    /// The question at which it ends: before the answer counts, or behind it.
    cut: Option<(usize, bool)>,
    cut_off: Notify,
    steps: Mutex<Vec<String>>,
}

impl Fake {
    fn new(print: &str) -> Self {
        let keys = HOSTS.iter().map(|h| ((*h).to_owned(), BTreeSet::from([print.to_owned()]))).collect();
        Self {
            keys: Mutex::new(keys),
            down: Mutex::default(),
            asked: AtomicUsize::new(0),
            cut: None,
            cut_off: Notify::new(),
            steps: Mutex::default(),
        }
    }

    async fn answer<T>(&self, host: &str, act: impl FnOnce(&mut BTreeSet<String>) -> T) -> Result<T, String> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        self.end_if(Some((number, false))).await;
        if self.down.lock().unwrap().contains(host) {
            return Err("unreachable".to_owned());
        }
        let done = act(self.keys.lock().unwrap().get_mut(host).unwrap());
        self.end_if(Some((number, true))).await;
        Ok(done)
    }

    async fn end_if(&self, moment: Option<(usize, bool)>) {
        if self.cut == moment {
            self.cut_off.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Every host takes a key that the server offers.
    fn assert_no_gap(&self, key: &Path) {
        let offered: Vec<String> = [key.to_path_buf(), beside(key, "old")]
            .iter()
            .filter_map(|f| key_lines(f).ok())
            .map(|(_, p)| p)
            .collect();
        for (host, keys) in &*self.keys.lock().unwrap() {
            assert!(
                offered.iter().any(|k| keys.contains(k)),
                "{host} takes {keys:?}, the server has {offered:?}"
            );
        }
    }
}

impl Targets for Fake {
    fn add<'a>(
        &'a self,
        host: &'a str,
        public: &'a str,
        _like: &'a str,
    ) -> BoxFuture<'a, Result<(), String>> {
        let key = russh_print(public);
        Box::pin(async move { self.answer(host, |keys| _ = keys.insert(key)).await })
    }
    fn takes<'a>(&'a self, host: &'a str, key: &'a Path) -> BoxFuture<'a, Result<bool, String>> {
        let print = key_lines(key).unwrap().1;
        Box::pin(async move { self.answer(host, |keys| keys.contains(&print)).await })
    }
    fn remove<'a>(&'a self, host: &'a str, fingerprint: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.answer(host, |keys| _ = keys.remove(fingerprint)).await })
    }
    fn record(&self, data: Value) -> BoxFuture<'_, Result<(), String>> {
        self.steps.lock().unwrap().push(data["step"].as_str().unwrap().to_owned());
        Box::pin(async move { self.answer("a", |_| ()).await.or(Ok(())) })
    }
}

fn russh_print(line: &str) -> String {
    russh::keys::PublicKey::from_openssh(line).unwrap().fingerprint(russh::keys::HashAlg::Sha256).to_string()
}

fn key() -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("reader");
    let (line, print) = make_private_key(&key, "x").unwrap();
    std::fs::write(beside(&key, "pub"), line).unwrap();
    (dir, key, print)
}

async fn go(fake: &Fake, key: &Path, resume: bool) -> Option<Outcome> {
    let rotation = Rotation::open(key, "reader", &HOSTS, resume).unwrap()?;
    Some(carry_on(fake, rotation, key, 2, &|_| ()).await.unwrap())
}

fn names(dir: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn assert_done(fake: &Fake, key: &Path, old: &str) {
    let (line, new) = key_lines(key).unwrap();
    assert_ne!(new, old);
    for keys in fake.keys.lock().unwrap().values() {
        assert_eq!(*keys, BTreeSet::from([new.clone()]), "the new key alone");
    }
    assert!(std::fs::read_to_string(beside(key, "pub")).unwrap().starts_with(&line));
}

#[tokio::test]
async fn every_host_ends_with_the_new_key_alone() {
    let (dir, key, old) = key();
    let fake = Fake::new(&old);
    let outcome = go(&fake, &key, false).await.unwrap();
    assert!(outcome.done && outcome.switched && outcome.old == old, "{outcome:?}");
    assert_done(&fake, &key, &old);
    assert_eq!(names(&dir), ["reader", "reader.pub"]);
    assert_eq!(*fake.steps.lock().unwrap(), ["begun", "switched", "done"]);
    assert!(go(&fake, &key, true).await.is_none(), "there is nothing to go on with");
}

#[tokio::test]
async fn cut_off_at_any_moment_it_has_no_gap_and_goes_on() {
    let (_dir, key_, old_) = key();
    let whole = Fake::new(&old_);
    go(&whole, &key_, false).await.unwrap();
    let questions = whole.asked.load(Ordering::SeqCst);
    assert!(questions >= 4 * HOSTS.len(), "{questions}");
    for moment in (0..questions).flat_map(|n| [(n, false), (n, true)]) {
        let (dir, key, old) = key();
        let mut fake = Fake::new(&old);
        fake.cut = Some(moment);
        tokio::select! {
            outcome = go(&fake, &key, false) => panic!("{moment:?} was never reached: {outcome:?}"),
            () = fake.cut_off.notified() => {}
        }
        fake.assert_no_gap(&key);
        assert!(
            Rotation::open(&key, "reader", &HOSTS, false).is_err(),
            "{moment:?}: it must be resumed, not begun anew"
        );
        fake.cut = None;
        let outcome = go(&fake, &key, true).await.unwrap_or_else(|| panic!("{moment:?}: it is not done"));
        assert!(outcome.done, "{moment:?}: {outcome:?}");
        assert_done(&fake, &key, &old);
        assert_eq!(names(&dir), ["reader", "reader.pub"], "{moment:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_down_stays_behind_with_the_old_key_and_is_finished_later() {
    let (_dir, key, old) = key();
    let fake = Fake::new(&old);
    fake.down.lock().unwrap().insert("b".to_owned());
    let outcome = go(&fake, &key, false).await.unwrap();
    let behind: Vec<&str> =
        outcome.hosts.iter().filter(|r| r.step != Step::Refused).map(|r| r.host.as_str()).collect();
    assert!(!outcome.done && outcome.switched && behind == ["b"], "{outcome:?}");
    assert_eq!(outcome.hosts[1].error.as_deref(), Some("unreachable"));
    fake.assert_no_gap(&key);
    assert_eq!(key_lines(&beside(&key, "old")).unwrap().1, old);
    fake.down.lock().unwrap().clear();
    let outcome = go(&fake, &key, true).await.unwrap();
    assert!(outcome.done, "{outcome:?}");
    assert_done(&fake, &key, &old);
}

#[tokio::test]
async fn where_no_host_takes_the_new_key_the_server_keeps_the_old() {
    let (_dir, key, old) = key();
    let fake = Fake::new(&old);
    fake.down.lock().unwrap().extend(HOSTS.map(str::to_owned));
    let outcome = go(&fake, &key, false).await.unwrap();
    assert!(!outcome.switched && !outcome.done, "{outcome:?}");
    assert_eq!(key_lines(&key).unwrap().1, old);
}

#[tokio::test]
async fn without_a_record_the_key_stays() {
    struct NoRecord(Fake);
    impl Targets for NoRecord {
        fn add<'a>(&'a self, h: &'a str, l: &'a str, k: &'a str) -> BoxFuture<'a, Result<(), String>> {
            self.0.add(h, l, k)
        }
        fn takes<'a>(&'a self, host: &'a str, key: &'a Path) -> BoxFuture<'a, Result<bool, String>> {
            self.0.takes(host, key)
        }
        fn remove<'a>(&'a self, host: &'a str, print: &'a str) -> BoxFuture<'a, Result<(), String>> {
            self.0.remove(host, print)
        }
        fn record(&self, _: Value) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { Err("the disk is full".to_owned()) })
        }
    }
    let (_dir, key, old) = key();
    let targets = NoRecord(Fake::new(&old));
    let rotation = Rotation::open(&key, "reader", &HOSTS, false).unwrap().unwrap();
    carry_on(&targets, rotation, &key, 2, &|_| ()).await.unwrap_err();
    assert_eq!(targets.0.asked.load(Ordering::SeqCst), 0, "no host was asked");
    assert_eq!(key_lines(&key).unwrap().1, old);
}

#[test]
fn one_at_a_time_and_never_another_accounts() {
    let (_dir, key, _) = key();
    let held = Rotation::open(&key, "reader", &HOSTS, false).unwrap().unwrap();
    let refused = Rotation::open(&key, "reader", &HOSTS, true).unwrap_err();
    assert!(refused.contains("another rotation"), "{refused}");
    drop(held);
    let refused = Rotation::open(&key, "runner", &HOSTS, true).unwrap_err();
    assert!(refused.contains("rotation of reader"), "{refused}");
    let gone = Rotation::open(&key, "reader", &HOSTS[..2], true).unwrap().unwrap();
    assert_eq!(gone.state.hosts.len(), 2, "a host that left the inventory holds nobody up");
}

#[test]
fn the_rename_is_what_counts() {
    let (_dir, key, old) = key();
    let rotation = Rotation::open(&key, "reader", &HOSTS, false).unwrap().unwrap();
    // Cut off between the copy of the old key and the rename.
    std::fs::copy(&key, beside(&key, "old")).unwrap();
    assert!(!rotation.switched().unwrap());
    assert_eq!(key_lines(&rotation.old_key().unwrap()).unwrap().1, old);
    rotation.switch().unwrap();
    rotation.switch().unwrap();
    assert!(rotation.switched().unwrap());
    assert_eq!(key_lines(&rotation.old_key().unwrap()).unwrap().1, old, "a second switch keeps the old key");
}
