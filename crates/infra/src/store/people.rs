//! Who may use the dashboard: persons, invitations and passkeys. None of it gives power over a target: that is in the target's
//! own approvers' file.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde_json::json;

use super::audit::append;
use super::{Audit, Store, StoreError, now_ms};

/// What a person may do on the dashboard; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Run what was approved.
    Operator,
    /// Approve and reject.
    Approver,
    /// Invite persons and revoke devices.
    Admin,
}

const ROLES: [(Role, &str); 4] = [
    (Role::Viewer, "viewer"),
    (Role::Operator, "operator"),
    (Role::Approver, "approver"),
    (Role::Admin, "admin"),
];

impl Role {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("viewer", |(_, word)| word)
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ROLES.iter().find(|(_, word)| *word == text).map(|(role, _)| *role).ok_or_else(|| {
            format!("there is no role {text:?}; there are viewer, operator, approver and admin")
        })
    }
}

/// Whether this can be a person's name: 1 to 128 letters, digits and `@ . _ + -`, as in an approvers' file.
pub fn is_person(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._+-".contains(&b))
}

/// What a passkey is for. A challenge for a login is whatever the server says, so what logs in must not be able to approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To come in.
    Login,
    /// To sign grants: this one stands in the targets' approvers' files.
    Approve,
    /// No passkey: a person of the OIDC provider's, who has come in before.
    Provider,
}

const PURPOSES: [(Purpose, &str); 3] =
    [(Purpose::Login, "login"), (Purpose::Approve, "approve"), (Purpose::Provider, "provider")];

impl Purpose {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        PURPOSES.iter().find(|(purpose, _)| *purpose == self).map_or("login", |(_, word)| word)
    }
}

/// A passkey that a browser has just made.
#[derive(Debug, Clone)]
pub struct NewPasskey {
    /// The credential's id, base64url.
    pub id: String,
    /// The point on P-256: 130 hex digits, uncompressed.
    pub point: String,
    /// Its counter.
    pub counter: u32,
}

/// A passkey of a person, or their account with the OIDC provider.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// The credential's id, base64url; of an account `oidc-` and a digest.
    pub id: String,
    /// Whose it is.
    pub person: String,
    /// What they may do.
    pub role: Role,
    /// What it is for.
    pub purpose: Purpose,
    /// The point on P-256: 130 hex digits, uncompressed; empty for an account.
    pub point: String,
    /// Signatures so far as the device counts them; 0 when it does not.
    pub counter: u32,
    /// When it was enrolled, ms since 1970.
    pub created_ms: i64,
    /// When it was last used to log in, ms since 1970.
    pub used_ms: Option<i64>,
    /// When it was revoked, ms since 1970.
    pub revoked_ms: Option<i64>,
}

impl Store {
    /// Stores an invitation by the digest of its token; whoever has the token may enrol one device.
    pub fn invite(
        &self,
        token_sha256: &str,
        person: &str,
        role: Role,
        expires_ms: i64,
    ) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute(
                "INSERT INTO invitations (token_sha256, person, role, expires_ms) VALUES (?1, ?2, ?3, ?4)",
                params![token_sha256, person, role.as_str(), expires_ms],
            )?;
            let data = json!({ "person": person, "role": role, "expires_ms": expires_ms });
            append(tx, &Audit { event: "invited", data })?;
            Ok(())
        })
    }

    /// Who was invited by this token, while it is good.
    pub fn invitation(&self, token_sha256: &str) -> Result<Option<(String, Role)>, StoreError> {
        self.change(|tx| find_invitation(tx, token_sha256))
    }

    /// Enrols a person's passkeys and uses the invitation up, all or nothing. `None` when the invitation is not good (any more).
    pub fn enrol(
        &self,
        token_sha256: &str,
        login: &NewPasskey,
        approve: &NewPasskey,
    ) -> Result<Option<String>, StoreError> {
        self.change(|tx| {
            let Some((person, role)) = find_invitation(tx, token_sha256)? else { return Ok(None) };
            tx.execute("DELETE FROM invitations WHERE token_sha256 = ?1", [token_sha256])?;
            for (purpose, passkey) in [("login", login), ("approve", approve)] {
                tx.execute(
                    "INSERT INTO devices (id, person, role, purpose, point, counter, created_ms)
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        passkey.id,
                        person,
                        role.as_str(),
                        purpose,
                        passkey.point,
                        passkey.counter,
                        now_ms()
                    ],
                )?;
            }
            let data = json!({ "person": person, "role": role, "login": login.id, "approve": approve.id });
            append(tx, &Audit { event: "enrolled", data })?;
            Ok(Some(person))
        })
    }

    /// A device by its credential's id, revoked ones too.
    pub fn device(&self, id: &str) -> Result<Option<Device>, StoreError> {
        find_device(&self.lock(), id)
    }

    /// Whether a device is enrolled and not revoked.
    pub fn device_counts(&self, id: &str) -> Result<bool, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT 1 FROM devices WHERE id = ?1 AND revoked_ms IS NULL")?;
        Ok(statement.exists([id])?)
    }

    /// All devices, by person.
    pub fn devices(&self) -> Result<Vec<Device>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT * FROM devices ORDER BY person, created_ms, id")?;
        let devices = statement.query_map([], from_row)?.collect::<Result<Vec<_>, _>>()?;
        Ok(devices)
    }

    /// Records a login. `false`, and nothing is recorded, when the device is gone or its counter did not grow: then there are
    /// two of it.
    pub fn logged_in(&self, id: &str, counter: u32) -> Result<bool, StoreError> {
        self.change(|tx| {
            let counts = |d: &Device| d.revoked_ms.is_none() && d.purpose == Purpose::Login;
            let Some(device) = find_device(tx, id)?.filter(counts) else { return Ok(false) };
            let grew = counter > device.counter || (counter == 0 && device.counter == 0);
            if !grew {
                append(
                    tx,
                    &Audit { event: "login_refused", data: json!({ "device": id, "cause": "counter" }) },
                )?;
                return Ok(false);
            }
            tx.execute(
                "UPDATE devices SET counter = ?2, used_ms = ?3 WHERE id = ?1",
                params![id, counter, now_ms()],
            )?;
            append(tx, &Audit { event: "login", data: json!({ "person": device.person, "device": id }) })?;
            Ok(true)
        })
    }

    /// Records that a person of the OIDC provider's, `issuer`, has come in. `false`, and the refusal is recorded, when their account
    /// was revoked here.
    pub fn came_in(&self, id: &str, person: &str, role: Role, issuer: &str) -> Result<bool, StoreError> {
        self.change(|tx| {
            let known = find_device(tx, id)?;
            let barred = known.is_some_and(|d| d.revoked_ms.is_some() || d.purpose != Purpose::Provider);
            if barred {
                let data = json!({ "device": id, "person": person, "cause": "revoked" });
                append(tx, &Audit { event: "login_refused", data })?;
                return Ok(false);
            }
            // The configuration may have changed since: what it says now is what counts.
            tx.execute(
                "INSERT INTO devices (id, person, role, purpose, point, counter, created_ms, used_ms)
                    VALUES (?1, ?2, ?3, ?4, '', 0, ?5, ?5)
                    ON CONFLICT (id) DO UPDATE SET person = ?2, role = ?3, used_ms = ?5",
                params![id, person, role.as_str(), Purpose::Provider.as_str(), now_ms()],
            )?;
            let data = json!({ "person": person, "role": role, "device": id, "issuer": issuer });
            append(tx, &Audit { event: "login", data })?;
            Ok(true)
        })
    }

    /// Lets an account of the OIDC provider's in again that was revoked. `None` when none of this id is revoked.
    pub fn readmit(&self, id: &str, by: &str) -> Result<Option<Device>, StoreError> {
        self.change(|tx| {
            let changed = tx.execute(
                "UPDATE devices SET revoked_ms = NULL WHERE id = ?1 AND purpose = ?2 AND revoked_ms IS NOT NULL",
                params![id, Purpose::Provider.as_str()],
            )?;
            if changed == 0 {
                return Ok(None);
            }
            append(tx, &Audit { event: "account_readmitted", data: json!({ "device": id, "by": by }) })?;
            find_device(tx, id)
        })
    }

    /// Ends a device; it cannot log in any more. `None` when there is none of this id that counts.
    pub fn revoke_device(&self, id: &str, by: &str) -> Result<Option<Device>, StoreError> {
        self.change(|tx| {
            let changed = tx.execute(
                "UPDATE devices SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL",
                params![id, now_ms()],
            )?;
            if changed == 0 {
                return Ok(None);
            }
            append(tx, &Audit { event: "device_revoked", data: json!({ "device": id, "by": by }) })?;
            find_device(tx, id)
        })
    }

    /// Two numbers of which one changes whenever the database does: by other connections, and by this one.
    pub fn changes(&self) -> Result<(i64, i64), StoreError> {
        let connection = self.lock();
        let others = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        let own = connection.prepare_cached("SELECT total_changes()")?.query_row([], |row| row.get(0))?;
        Ok((others, own))
    }
}

fn find_invitation(tx: &Transaction<'_>, token_sha256: &str) -> Result<Option<(String, Role)>, StoreError> {
    tx.execute("DELETE FROM invitations WHERE expires_ms <= ?1", [now_ms()])?;
    Ok(tx
        .query_row("SELECT person, role FROM invitations WHERE token_sha256 = ?1", [token_sha256], |row| {
            Ok((row.get(0)?, role(row)?))
        })
        .optional()?)
}

fn find_device(tx: &Connection, id: &str) -> Result<Option<Device>, StoreError> {
    Ok(tx.query_row("SELECT * FROM devices WHERE id = ?1", [id], from_row).optional()?)
}

/// An unknown word is the least of the roles.
fn role(row: &Row<'_>) -> rusqlite::Result<Role> {
    Ok(row.get::<_, String>("role")?.parse().unwrap_or(Role::Viewer))
}

/// An unknown word is what is of the least use: nobody logs in by the key of an account.
fn purpose(word: &str) -> Purpose {
    PURPOSES.iter().find(|(_, known)| *known == word).map_or(Purpose::Provider, |(purpose, _)| *purpose)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Device> {
    Ok(Device {
        id: row.get("id")?,
        person: row.get("person")?,
        role: role(row)?,
        purpose: purpose(&row.get::<_, String>("purpose")?),
        point: row.get("point")?,
        counter: row.get("counter")?,
        created_ms: row.get("created_ms")?,
        used_ms: row.get("used_ms")?,
        revoked_ms: row.get("revoked_ms")?,
    })
}
