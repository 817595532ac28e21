//! Who must approve what, and when it may run: the part of `target.toml` about approvals.

use std::collections::BTreeMap;

use grant::{Fido, Freeze, Passkeys, Scope, Threshold, Window};
use policy::action::{Action, Actions};
use serde::Deserialize;
use toml::value::{Date, Datetime, Offset, Time};

/// The name that stands for single commands where actions are named.
pub const COMMAND: &str = "command";

/// Who must approve what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// Distinct persons for every action, at least.
    pub min: u32,
    /// The longest life of a grant, in seconds; at most 900.
    pub max_lifetime_seconds: i64,
    /// What FIDO2 keys must have been made for.
    pub application: String,
    /// What passkeys must have been made for: a domain. Without it no passkey approves.
    pub rp_id: Option<String>,
    /// The sites on which passkeys may be used: `https://HOST` or `https://HOST:PORT`, beneath the domain.
    pub origins: Vec<String>,
    /// More for some actions; `command` for single commands.
    pub actions: BTreeMap<String, ActionApproval>,
    /// More for some actions on hosts with some tags.
    pub rule: Vec<Rule>,
}

/// What one action asks for on this target.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionApproval {
    /// Distinct persons, at least; the action's own number counts when it is higher.
    pub min: u32,
    /// Every signature must be by a FIDO2 key that verified its user.
    pub verify_required: bool,
    /// Distinct persons, at least, who sign outside of a browser.
    pub outside_browser: u32,
}

/// What some actions ask for on hosts with some tags. Of all that apply the strictest counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Names of actions, or `command`; empty is all.
    pub actions: Vec<String>,
    /// The host must have one of them; empty is every host.
    pub tags: Vec<String>,
    /// Distinct persons, at least.
    pub min: u32,
    /// Every signature must be by a FIDO2 key or passkey that verified its user.
    pub verify_required: bool,
    /// Distinct persons, at least, who sign outside of a browser.
    pub outside_browser: u32,
}

/// What one person may run where more are asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Names of actions, or `command`; at least one.
    pub actions: Vec<String>,
    /// The host must have one of them; empty is every host.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Who may; empty is every approver.
    #[serde(default)]
    pub persons: Vec<String>,
    /// Whether also in a freeze and outside maintenance windows.
    #[serde(default)]
    pub in_freeze: bool,
    /// Whether also by passkey. What a browser has signed comes from a server: one that was taken over would need to deceive one
    /// person only.
    #[serde(default)]
    pub in_browser: bool,
}

/// When things may run.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    /// Maintenance windows.
    pub windows: Vec<Window>,
    /// Freezes.
    pub freezes: Vec<Freeze>,
}

impl Default for Approval {
    fn default() -> Self {
        Self {
            min: 1,
            max_lifetime_seconds: 900,
            application: grant::APPLICATION.to_owned(),
            rp_id: None,
            origins: Vec::new(),
            actions: BTreeMap::new(),
            rule: Vec::new(),
        }
    }
}

impl Approval {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(30..=900).contains(&self.max_lifetime_seconds) {
            return Err("approval.max_lifetime_seconds must be 30 to 900".to_owned());
        }
        if self.min == 0 {
            return Err("approval.min must be at least 1".to_owned());
        }
        self.fido().map(|_| ())
    }

    /// What FIDO2 keys and passkeys must have been made for.
    ///
    /// # Errors
    /// What is wrong with the domain or the origins.
    pub fn fido(&self) -> Result<Fido, String> {
        let application = self.application.clone();
        let passkeys = match &self.rp_id {
            None if self.origins.is_empty() => None,
            None => return Err("approval.origins stands without approval.rp_id".to_owned()),
            // a key would sign with and without a browser, and a signature without one names no site
            Some(rp_id) if *rp_id == application => {
                return Err("approval.rp_id and approval.application must differ".to_owned());
            }
            Some(rp_id) => {
                Some(Passkeys::new(rp_id, &self.origins).map_err(|e| format!("approval.origins: {e}"))?)
            }
        };
        Ok(Fido { application, passkeys })
    }

    pub(super) fn threshold(&self, action: Option<&Action>, tags: &[String]) -> Threshold {
        let name = action.map_or(COMMAND, |a| a.name.as_str());
        let own = self.actions.get(name).copied().unwrap_or_default();
        let min = self.min.max(own.min).max(action.map_or(1, |a| a.approvals));
        let ActionApproval { verify_required, outside_browser, .. } = own;
        let first = Threshold { min, verify_required, outside_browser };
        let applies = |rule: &&Rule| {
            Scope { actions: rule.actions.clone(), tags: rule.tags.clone() }.covers(name, tags)
        };
        self.rule.iter().filter(applies).fold(first, |most, rule| Threshold {
            min: most.min.max(rule.min),
            verify_required: most.verify_required || rule.verify_required,
            outside_browser: most.outside_browser.max(rule.outside_browser),
        })
    }
}

impl BreakGlass {
    /// Whether it is about this action on a host with these tags.
    pub(crate) fn covers(&self, action: &str, tags: &[String]) -> bool {
        let scope = Scope { actions: self.actions.clone(), tags: self.tags.clone() };
        !self.actions.is_empty() && scope.covers(action, tags)
    }

    /// Whether these persons may, having signed in this way; names that differ only in case are one person.
    pub(crate) fn lets(&self, approvals: &[grant::Approval]) -> bool {
        let listed = |person: &str| self.persons.iter().any(|listed| listed.eq_ignore_ascii_case(person));
        let persons = self.persons.is_empty() || approvals.iter().all(|a| listed(&a.person));
        persons && (self.in_browser || approvals.iter().any(|a| a.origin.is_none()))
    }
}

/// A wrong name would be a rule that never applies.
pub(super) fn check_actions(names: &[String], actions: &Actions, place: &str) -> Result<(), String> {
    match names.iter().find(|name| *name != COMMAND && actions.get(name).is_none()) {
        None => Ok(()),
        Some(name) => Err(format!("{place}: this target has no action {name}")),
    }
}

/// `[[window]]` as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindow {
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default = "every_day")]
    days: Vec<Day>,
    from: Datetime,
    to: Datetime,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

fn every_day() -> Vec<Day> {
    use Day::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    vec![Mon, Tue, Wed, Thu, Fri, Sat, Sun]
}

impl RawWindow {
    pub(super) fn read(self) -> Result<Window, String> {
        if self.days.is_empty() {
            return Err("window.days: at least one day".to_owned());
        }
        let mut days = [false; 7];
        for day in self.days {
            days[day as usize] = true;
        }
        let scope = Scope { actions: self.actions, tags: self.tags };
        Ok(Window { scope, days, from: time_of_day(self.from, "from")?, to: time_of_day(self.to, "to")? })
    }
}

fn time_of_day(value: Datetime, field: &str) -> Result<i64, String> {
    match value {
        Datetime { date: None, time: Some(time), offset: None } => seconds(time),
        _ => None,
    }
    .ok_or_else(|| format!("window.{field}: a time of day in UTC, such as 22:00:00"))
}

/// `[[freeze]]` as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFreeze {
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    from: Datetime,
    to: Datetime,
    #[serde(default)]
    reason: String,
}

impl RawFreeze {
    pub(super) fn read(self) -> Result<Freeze, String> {
        let (from, to) = (instant(self.from, "from")?, instant(self.to, "to")?);
        if from >= to {
            return Err("freeze.from must be before freeze.to".to_owned());
        }
        let scope = Scope { actions: self.actions, tags: self.tags };
        Ok(Freeze { scope, from, to, reason: self.reason })
    }
}

/// Unix seconds. Without `Z` the same file would mean other times elsewhere.
fn instant(value: Datetime, field: &str) -> Result<i64, String> {
    match value {
        Datetime { date: Some(date), time: Some(time), offset: Some(Offset::Z) } => {
            days(date).zip(seconds(time)).map(|(days, seconds)| days * 86_400 + seconds)
        }
        _ => None,
    }
    .ok_or_else(|| format!("freeze.{field}: a time in UTC, such as 2026-12-20T00:00:00Z"))
}

fn seconds(time: Time) -> Option<i64> {
    let second = time.second.unwrap_or(0);
    // a leap second, or a part of one, is no time at which a window opens
    let whole = time.nanosecond.unwrap_or(0) == 0 && second < 60;
    whole.then(|| i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(second))
}

/// Days since 1970-01-01; TOML's reader has checked that there is such a day.
fn days(Date { year, month, day }: Date) -> Option<i64> {
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let length = |m: i64| match m {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let years: i64 = (1970..year).map(|y| 365 + i64::from(leap(y))).sum();
    (year >= 1970 && (1..=12).contains(&month) && (1..=length(month)).contains(&day))
        .then(|| years + (1..month).map(length).sum::<i64>() + day - 1)
}
