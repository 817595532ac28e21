//! When something may run: maintenance windows and freezes, in UTC. The clock is a parameter.

use crate::{Code, Refusal};

const DAY: i64 = 86_400;

/// Which actions, on hosts with which tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Names of actions, `command` for single commands; empty is every action.
    pub actions: Vec<String>,
    /// The host must have one of them; empty is every host.
    pub tags: Vec<String>,
}

impl Scope {
    /// Whether it is about this action on a host with these tags.
    pub fn covers(&self, action: &str, tags: &[String]) -> bool {
        let names = |list: &[String], name: &str| list.iter().any(|listed| listed == name);
        (self.actions.is_empty() || names(&self.actions, action))
            && (self.tags.is_empty() || tags.iter().any(|tag| names(&self.tags, tag)))
    }
}

/// A span of time that comes again each week, for what may run in no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What may run in its windows only.
    pub scope: Scope,
    /// The days on which it opens, Monday first.
    pub days: [bool; 7],
    /// Seconds after midnight at which it opens; below 86400.
    pub from: i64,
    /// Seconds after midnight at which it is over; not after `from` is on the next day.
    pub to: i64,
}

impl Window {
    /// Whether it is open at this time, unix seconds.
    pub fn is_open(&self, now: i64) -> bool {
        let (day, second) = (now.div_euclid(DAY), now.rem_euclid(DAY));
        if self.from < self.to {
            return self.opens_on(day) && (self.from..self.to).contains(&second);
        }
        self.opens_on(day) && second >= self.from || self.opens_on(day.saturating_sub(1)) && second < self.to
    }

    /// Days since 1970-01-01, a Thursday.
    fn opens_on(&self, day: i64) -> bool {
        usize::try_from((day.rem_euclid(7) + 3) % 7).is_ok_and(|weekday| self.days[weekday])
    }
}

/// A span of time in which nothing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// What does not run.
    pub scope: Scope,
    /// Unix seconds.
    pub from: i64,
    /// Unix seconds; the first second in which it is over.
    pub to: i64,
    /// Why, for whoever is refused.
    pub reason: String,
}

/// Checks the calendar for an action on a host with these tags. Where windows are about it, one of them must be open.
///
/// # Errors
/// `frozen`, `outside_window`.
pub fn check_calendar(
    windows: &[Window],
    freezes: &[Freeze],
    action: &str,
    tags: &[String],
    now: i64,
) -> Result<(), Refusal> {
    let frozen = freezes.iter().find(|f| f.scope.covers(action, tags) && (f.from..f.to).contains(&now));
    if let Some(freeze) = frozen {
        let message = format!("{action} is frozen here until {}: {}", freeze.to, freeze.reason);
        return Err(Refusal::new(Code::Frozen, message));
    }
    let mut windows = windows.iter().filter(|w| w.scope.covers(action, tags)).peekable();
    if windows.peek().is_none() || windows.any(|window| window.is_open(now)) {
        return Ok(());
    }
    let message = format!("{action} runs here in a maintenance window only, and none is open at {now}");
    Err(Refusal::new(Code::OutsideWindow, message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Monday 2026-11-23 00:00:00 UTC.
    const MONDAY: i64 = 1_795_392_000;
    const HOUR: i64 = 3600;

    fn window(day: usize, from: i64, to: i64) -> Window {
        let mut days = [false; 7];
        days[day] = true;
        Window { scope: Scope::default(), days, from: from * HOUR, to: to * HOUR }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_window_opens_on_its_day_and_closes_on_the_next() {
        let day = window(0, 2, 4);
        for (at, open) in
            [(0, false), (2 * HOUR - 1, false), (2 * HOUR, true), (4 * HOUR - 1, true), (4 * HOUR, false)]
        {
            assert_eq!(day.is_open(MONDAY + at), open, "{at}");
            assert!(!day.is_open(MONDAY + DAY + at), "Tuesday {at}");
            assert!(!day.is_open(MONDAY - DAY + at), "Sunday {at}");
        }
        let night = window(6, 22, 4);
        for (at, open) in [
            (-2 * HOUR - 1, false),
            (-2 * HOUR, true),
            (-1, true),
            (0, true),
            (4 * HOUR - 1, true),
            (4 * HOUR, false),
            (22 * HOUR, false),
            (-DAY, false),
            (7 * DAY, true),
        ] {
            assert_eq!(night.is_open(MONDAY + at), open, "{at}");
        }
        let whole = window(3, 0, 0);
        for at in -3..10 {
            assert_eq!(whole.is_open(MONDAY + at * DAY), at == 3, "{at}");
            assert_eq!(whole.is_open(MONDAY + at * DAY + DAY - 1), at == 3, "{at}");
        }
    }

    #[test]
    fn a_scope_is_actions_and_tags() {
        let scope = |actions: &[&str], tags: &[&str]| Scope { actions: names(actions), tags: names(tags) };
        let tags = names(&["prod", "dns"]);
        for (scope, covers) in [
            (scope(&[], &[]), true),
            (scope(&["a"], &[]), true),
            (scope(&["b", "a"], &["prod"]), true),
            (scope(&[], &["lab", "dns"]), true),
            (scope(&["b"], &["prod"]), false),
            (scope(&["a"], &["lab"]), false),
            (scope(&["A"], &[]), false),
        ] {
            assert_eq!(scope.covers("a", &tags), covers, "{scope:?}");
        }
        assert!(!scope(&[], &["prod"]).covers("a", &[]));
    }

    #[test]
    fn a_freeze_is_stronger_than_a_window() {
        let freeze = Freeze {
            scope: Scope::default(),
            from: MONDAY,
            to: MONDAY + DAY,
            reason: "end of the year".into(),
        };
        let windows = [window(0, 2, 4), window(1, 2, 4)];
        let at = |hour: i64| {
            let freezes = std::slice::from_ref(&freeze);
            check_calendar(&windows, freezes, "a", &[], MONDAY + hour * HOUR).map_err(|r| r.code)
        };
        assert_eq!(at(3), Err(Code::Frozen));
        assert_eq!(at(23), Err(Code::Frozen));
        assert_eq!(at(24), Err(Code::OutsideWindow));
        assert_eq!(at(27), Ok(()));
        assert_eq!(at(-1), Err(Code::OutsideWindow));
        assert_eq!(check_calendar(&[], &[], "a", &[], MONDAY), Ok(()));
        // a window that is about something else neither opens nor closes
        let mut other = window(0, 2, 4);
        other.scope.actions = names(&["b"]);
        assert_eq!(check_calendar(&[other.clone()], &[], "a", &[], MONDAY), Ok(()));
        let both = [other, window(0, 5, 6)];
        assert_eq!(
            check_calendar(&both, &[], "a", &[], MONDAY + 3 * HOUR).map_err(|r| r.code),
            Err(Code::OutsideWindow)
        );
    }

    proptest! {
        #[test]
        fn a_week_later_is_the_same(days: [bool; 7], from in 0..DAY, to in 0..DAY, now in -10_000_000_000..10_000_000_000_i64) {
            let window = Window { scope: Scope::default(), days, from, to };
            prop_assert_eq!(window.is_open(now), window.is_open(now + 7 * DAY));
            let open = (0..7).map(|d| window.is_open(now + d * DAY)).filter(|open| *open).count();
            let chosen = days.iter().filter(|day| **day).count();
            prop_assert!(open == 0 || open == chosen);
        }

        #[test]
        fn no_time_overflows(days: [bool; 7], from in 0..DAY, to in 0..DAY, now: i64) {
            let _ = Window { scope: Scope::default(), days, from, to }.is_open(now);
        }
    }
}
