//! `dashboard`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Done, Ended, output, runtime};
use crate::notify::{self, Channels};
use crate::oidc;
use crate::recovery::fresh_id;
use crate::store::{Purpose, Role, is_person, now_ms, sha256_hex};
use crate::web;

/// Serves the approval dashboard, invites persons to it, and shows their devices.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Dashboard {
    /// HOST:PORT or unix:/path; else `listen` of [dashboard] in the config, else 127.0.0.1:8090
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a link with which one person enrols one device; it works once
    Invite {
        /// The person, as the approvers' files name them: alice@example.org
        person: String,
        /// viewer, operator, approver or admin
        #[arg(long, default_value = "approver")]
        role: Role,
        /// How long the link works
        #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=10080))]
        minutes: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the enrolled passkeys, and the accounts of the OIDC provider's that have logged in
    Devices {
        /// Print the lines for the targets' approvers' files
        #[arg(long)]
        approvers: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a passkey here, or keep an account out. The targets' approvers' files are their own: take a passkey's line out there too
    // The id of a passkey is base64url and may begin with a dash, and then with an h.
    #[command(disable_help_flag = true)]
    Revoke {
        /// Its id, as `dashboard devices` shows it
        #[arg(allow_hyphen_values = true)]
        id: String,
        /// Print help
        #[arg(long, action = clap::ArgAction::Help)]
        help: Option<bool>,
    },
    /// Let an account of the OIDC provider's in again that was revoked here. A revoked passkey stays so: invite its person anew
    Readmit {
        /// Its id, as `dashboard devices` shows it: oidc-…
        id: String,
    },
}

impl Dashboard {
    pub(super) fn run(&self, context: &Context) -> Done {
        match &self.command {
            None => self.serve(context),
            Some(Command::Invite { person, role, minutes, json }) => {
                invite(context, person, *role, i64::from(*minutes), *json)
            }
            Some(Command::Devices { approvers, json }) => devices(context, *approvers, *json),
            Some(Command::Revoke { id, .. }) => {
                let Some(device) = context.app()?.store()?.revoke_device(id, &whoami())? else {
                    return Err(Ended::usage(format!(
                        "there is no device {id} that counts: `mcp-linux-infra dashboard devices` shows all"
                    )));
                };
                output::line(&match device.purpose {
                    Purpose::Provider => {
                        format!(
                            "The account of {} stays out, whatever the provider says of it.",
                            device.person
                        )
                    }
                    Purpose::Login => format!("The passkey of {} does not log in any more.", device.person),
                    Purpose::Approve => format!(
                        "The passkey of {} is revoked here. Take its line out of the targets' approvers too.",
                        device.person
                    ),
                })
            }
            Some(Command::Readmit { id }) => {
                let Some(device) = context.app()?.store()?.readmit(id, &whoami())? else {
                    return Err(Ended::usage(format!(
                        "no account {id} is revoked: `mcp-linux-infra dashboard devices` shows all"
                    )));
                };
                output::line(&format!("The account of {} may log in again.", device.person))
            }
        }
    }

    fn serve(&self, context: &Context) -> Done {
        let app = context.app()?;
        let channels = Channels::new(app.config())?;
        let provider = oidc::configured(app.config()).map_err(Ended::usage)?;
        super::serve::start_log(app.config())?;
        let settings = app.config().dashboard.clone();
        let address = self.listen.clone().unwrap_or(settings.listen);
        let runtime = runtime()?;
        let result = runtime.block_on(async {
            let dashboard = web::Dashboard::bind(&address, settings.origin.as_deref()).await.map_err(Ended::usage)?;
            eprintln!("mcp-linux-infra: {}", dashboard.start_line());
            eprintln!("mcp-linux-infra: `mcp-linux-infra dashboard invite NAME` prints a link for a person's first device");
            let _sending = notify::start(&app, channels);
            Ok::<_, Ended>(dashboard.serve(app, provider).await)
        })?;
        Ok(result?)
    }
}

fn whoami() -> String {
    std::env::var("USER").unwrap_or_else(|_| "command line".to_owned())
}

fn origin(context: &Context) -> Result<String, Ended> {
    let settings = context.config()?.dashboard;
    web::origin(settings.origin.as_deref(), &settings.listen).map_err(Ended::usage)
}

fn invite(context: &Context, person: &str, role: Role, minutes: i64, json: bool) -> Done {
    if !is_person(person) {
        return Err(Ended::usage(
            "a person's name has 1 to 128 letters, digits and @ . _ + -, as in an approvers' file",
        ));
    }
    let origin = origin(context)?;
    let token = fresh_id("", 32)?;
    let expires_ms = now_ms().saturating_add(minutes.saturating_mul(60_000));
    context.app()?.store()?.invite(&sha256_hex(token.as_bytes()), person, role, expires_ms)?;
    // Behind the #: no server and no log ever sees it.
    let link = format!("{origin}/enrol#{token}");
    if json {
        return output::json(
            &json!({ "person": person, "role": role, "link": link, "expires_ms": expires_ms }),
        );
    }
    output::line(&link)?;
    output::line(&format!(
        "For {person} as {}, once, until {}. Give it to nobody else.",
        role.as_str(),
        output::time(expires_ms)
    ))
}

fn devices(context: &Context, approvers: bool, json: bool) -> Done {
    let devices = context.app()?.store()?.devices()?;
    if json {
        return output::json(&json!({ "devices": devices }));
    }
    if approvers {
        let origin = origin(context)?;
        for device in devices
            .iter()
            .filter(|d| d.revoked_ms.is_none() && d.purpose == Purpose::Approve && d.role >= Role::Approver)
        {
            output::line(&web::approver_line(&device.person, &device.point, &origin).map_err(Ended::usage)?)?;
        }
        return Ok(());
    }
    if devices.is_empty() {
        return output::line(
            "No passkey is enrolled: `mcp-linux-infra dashboard invite NAME` prints a link.",
        );
    }
    for d in &devices {
        let used = d.used_ms.map_or_else(|| "never used".to_owned(), output::time);
        let state = d.revoked_ms.map_or(used, |ms| format!("revoked {}", output::time(ms)));
        output::line(&format!(
            "{:<24} {:<9} {:<8} {state:<24} {}",
            d.person,
            d.role.as_str(),
            d.purpose.as_str(),
            d.id
        ))?;
    }
    Ok(())
}
