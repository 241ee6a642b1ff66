//! The settings of each service.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use restroy_control_plane::auth::{Networks, Registration};
use restroy_run_queue::redis::Prefix;

use super::{
    Service, Setting,
    network::{DeniedNetworks, ListenOn},
    registration::{Domains, RegistrationMode},
    table::settings,
    value::{
        Bytes, Count, IsolationMode, LogFormat, MasterKeys, Origins, SecretText, SecretUrl, Span, TokenKey, WebUrl,
    },
};

/// Every service with its settings.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static [Setting])> {
    [
        (ControlPlane::COMMAND, ControlPlane::TABLE),
        (Executor::COMMAND, Executor::TABLE),
        (Migrate::COMMAND, Migrate::TABLE),
        (Dev::COMMAND, Dev::TABLE),
    ]
    .into_iter()
}

settings! {
    /// The settings of `restroy dev`.
    Dev("dev") { const DEFAULT_FILE: Option<&'static str> = Some("restroy.toml"); } with {
        /// Where the API listens
        listen: SocketAddr = default("127.0.0.1:8080"), "ADDRESS:PORT";
        /// Where everything is kept: database, keys, scratch files
        data_dir: PathBuf = default("./.restroy"), "DIR";
        /// How many runs are executed at once
        slots: Count<1, 64> = default("4"), "N";
        /// Where scripts run: thread, or process for worker processes as in production
        isolation: IsolationMode = default("thread"), "MODE";
        /// Listen on an address that others can reach. Embedded mode has no wall between the database
        /// and the sandboxes: it is for one's own scripts
        allow_remote: bool = default("false"), "BOOL";
        /// Let scripts call http services on this machine's loopback addresses
        allow_loopback_http: bool = default("false"), "BOOL";
        /// Networks that scripts may not reach, beside those that are not public: the installation's own public
        /// addresses, say; commas between them
        denied_networks: DeniedNetworks = default(""), "CIDR[,CIDR…]";
    }
}

impl Dev {
    fn conflicts(&self) -> Vec<String> {
        if self.listen.ip().is_loopback() || self.allow_remote {
            return Vec::new();
        }
        vec![format!(
            "{} can be reached by others, and embedded mode is for one's own scripts: listen on 127.0.0.1, or add \
             --allow-remote if you know who can reach it",
            self.listen
        )]
    }
}

settings! {
    /// The settings of `restroy control-plane`.
    ControlPlane("control-plane") with {
        /// Where the API listens, for people; commas between several. For an address, a network stands for this
        /// machine's address in it: 10.0.0.0/24:8080
        listen: ListenOn = default("127.0.0.1:8080"), "ADDRESS:PORT";
        /// Where the run API listens, for executors; as above. Beyond loopback it needs a certificate
        run_api_listen: ListenOn = default("127.0.0.1:9000"), "ADDRESS:PORT";
        /// The run API's certificate and those between it and its authority, as PEM
        run_api_tls_cert: PathBuf = optional, "FILE";
        /// The certificate's private key, as PEM
        run_api_tls_key: PathBuf = optional, "FILE";
        /// Where health and metrics are served, for operators
        metrics_listen: SocketAddr = default("127.0.0.1:9090"), "ADDRESS:PORT";
        /// Where people reach the API; in links of e-mails
        public_url: WebUrl = required, "URL";
        /// Origins whose pages may call the API, beside the public one; commas between them
        allowed_origins: Origins = default(""), "ORIGINS";
        /// The database, as the service's own role: postgres://restroy:PASSWORD@host/restroy
        database_url: SecretUrl = required, "URL";
        /// How many connections to the database at most
        database_connections: Count<2, 500> = default("16"), "N";
        /// The queue: redis://:PASSWORD@host, or rediss:// for TLS
        redis_url: SecretUrl = required, "URL";
        /// The certificate of the authority that signed Redis's, as PEM. Only it is trusted then
        redis_ca: PathBuf = optional, "FILE";
        /// What every key in Redis begins with
        redis_prefix: Prefix = default("restroy"), "PREFIX";
        /// The master keys that secrets are sealed with, the newest first: id:HEX[,id:HEX…]
        master_keys: MasterKeys = required, "KEYS";
        /// The key that signs access tokens, at least 32 bytes
        token_key: TokenKey = required, "KEY";
        /// The mail server: smtps://user:PASSWORD@host. Without it e-mail stays in the outbox
        smtp_url: SecretUrl = optional, "URL";
        /// Whom e-mail is from: Restroy <restroy@example.com>
        smtp_from: String = optional, "ADDRESS";
        /// Whom the e-mail of teams' scripts is from, if not the above: Scripts <scripts@example.com>
        tenant_mail_from: String = optional, "ADDRESS";
        /// Let scripts send HTML; the rest of their e-mails is plain text
        tenant_mail_html: bool = default("false"), "BOOL";
        /// Who may make an account: `open`, `domains`, `invited` or `closed`. Operators make accounts with
        /// `restroy admin account create`
        registration: RegistrationMode = default("invited"), "MODE";
        /// With `domains`: the domains of addresses that may have an account, beside those that are invited;
        /// commas between them
        registration_domains: Domains = default(""), "DOMAINS";
        /// How many e-mails an hour go to addresses unknown to the installation on behalf of one network
        /// (IPv4/24, IPv6/48); ten times as many on behalf of those who are signed in
        stranger_mails_per_network: Count<0, 1_000_000> = default("20"), "N";
        /// The same on behalf of all together
        stranger_mails_per_hour: Count<0, 1_000_000> = default("500"), "N";
        /// The OpenID provider that people may sign in by: its issuer, exactly as it says itself
        oidc_issuer: String = optional, "URL";
        /// What the OpenID provider knows this installation as
        oidc_client_id: String = optional, "ID";
        /// The secret that goes with it
        oidc_client_secret: SecretText = optional, "SECRET";
        /// The addresses or networks of our proxies; commas between them. What they say in X-Forwarded-For of
        /// who calls counts; nobody else's word does
        trusted_proxies: Networks = default(""), "NETWORKS";
        /// How often a minute one may try to sign in, from one address for one account
        sign_ins_per_minute: Count<1, 10_000> = default("10"), "N";
        /// How many requests a minute one token may make; an account may make three times as many, a
        /// network address ten times. 0 for no limit
        requests_per_minute: Count<0, 1_000_000> = default("1200"), "N";
        /// How many runs one account may have running at once in all the teams that it owns; 0 for no limit
        /// beside those of the teams
        runs_per_owner: Count<0, 10_000> = default("10"), "N";
        /// Where compiled sandbox code is kept between starts; a folder only this user can write to
        engine_cache_dir: PathBuf = optional, "DIR";
        /// How long an executor keeps a task without a word of it, from 2s to 10m: then it counts as lost,
        /// and another takes the task over
        lease: Span = default("30s"), "TIME";
        /// How long what is under way may continue after the order to stop
        drain: Span = default("10s"), "TIME";
        /// How the log is written: json or text
        log_format: LogFormat = default("json"), "FORMAT";
    }
}

/// Shorter, and a hiccup of the network loses work; longer, and the work of the dead waits for too long.
const LEASES: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_mins(10);

impl ControlPlane {
    /// Who may make an account.
    pub(crate) fn registration(&self) -> Registration {
        self.registration.with(&self.registration_domains)
    }

    fn conflicts(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.run_api_tls_cert.is_some() != self.run_api_tls_key.is_some() {
            faults.push(
                "RESTROY_RUN_API_TLS_CERT and RESTROY_RUN_API_TLS_KEY belong together: set both or neither".to_owned(),
            );
        } else if self.run_api_tls_cert.is_none() && !self.run_api_listen.is_loopback() {
            faults.push(format!(
                "the run API would listen on {} in plain text, and plans carry secrets: set RESTROY_RUN_API_TLS_CERT and \
                 RESTROY_RUN_API_TLS_KEY, or listen on 127.0.0.1 (RESTROY_RUN_API_LISTEN)",
                self.run_api_listen
            ));
        }
        if !LEASES.contains(&self.lease.0) {
            faults.push("RESTROY_LEASE: a lease lasts from 2s to 10m".to_owned());
        }
        if self.smtp_url.is_some() && self.smtp_from.is_none() {
            faults.push("RESTROY_SMTP_URL needs RESTROY_SMTP_FROM: the address that e-mail is from".to_owned());
        }
        if self.smtp_url.is_none() && self.tenant_mail_from.is_some() {
            faults.push("RESTROY_TENANT_MAIL_FROM needs RESTROY_SMTP_URL: without it no e-mail goes out".to_owned());
        }
        if (self.registration == RegistrationMode::Domains) == self.registration_domains.0.is_empty() {
            faults.push(
                "RESTROY_REGISTRATION=domains and RESTROY_REGISTRATION_DOMAINS go together: set both or neither"
                    .to_owned(),
            );
        }
        let oidc = [self.oidc_issuer.is_some(), self.oidc_client_id.is_some(), self.oidc_client_secret.is_some()];
        if oidc.contains(&true) && oidc.contains(&false) {
            faults.push(
                "RESTROY_OIDC_ISSUER, RESTROY_OIDC_CLIENT_ID and RESTROY_OIDC_CLIENT_SECRET go together".to_owned(),
            );
        }
        if oidc.contains(&true) && !cfg!(feature = "oidc") {
            faults.push(
                "RESTROY_OIDC_ISSUER: this binary was built without sign-in by an OpenID provider: build it with \
                 `--features oidc`"
                    .to_owned(),
            );
        }
        faults
    }
}

settings! {
    /// The settings of `restroy executor`. What belongs to the control-plane alone is refused: an
    /// executor that held it would be a way to it for whoever breaks out of a sandbox.
    Executor("executor") {
        fn foreign(name: &str, owner: &str) -> String {
            format!(
                "{name} belongs to `restroy {owner}`, and an executor must hold neither the database's address nor any \
                 key of the installation, since it runs strangers' scripts: take it out of what the executor is given"
            )
        }
    } with {
        /// Where the control-plane's run API is: https, or this very machine
        run_api_url: WebUrl = required, "URL";
        /// The certificate of the authority that signed the run API's, as PEM. Only it is trusted then
        run_api_ca: PathBuf = optional, "FILE";
        /// The client certificate that the run API is shown, as PEM, where the credential is bound to one
        run_api_client_cert: PathBuf = optional, "FILE";
        /// Its private key, as PEM
        run_api_client_key: PathBuf = optional, "FILE";
        /// The executor's own credential, from `restroy admin executor create`
        credential: SecretText = required, "TOKEN";
        /// The queue: redis://:PASSWORD@host, or rediss:// for TLS
        redis_url: SecretUrl = required, "URL";
        /// The certificate of the authority that signed Redis's, as PEM. Only it is trusted then
        redis_ca: PathBuf = optional, "FILE";
        /// What every key in Redis begins with
        redis_prefix: Prefix = default("restroy"), "PREFIX";
        /// How many runs are executed at once
        slots: Count<1, 256> = default("4"), "N";
        /// Where scripts run: process, each team's in worker processes without files, network or rights; or
        /// thread, in this process
        isolation: IsolationMode = default("process"), "MODE";
        /// Start with worker processes where the kernel has no seccomp filters to keep them in
        isolation_allow_partial: bool = default("false"), "BOOL";
        /// How many worker processes may wait for more work of their team
        idle_workers: Count<0, 512> = default("4"), "N";
        /// Where the scratch folders of runs lie; nobody else may write there
        scratch_dir: PathBuf = required, "DIR";
        /// What the scratch folders of all runs may hold together, such as 448MiB: less than the disk there has. A
        /// team may fill as much of it as is left free
        scratch_total: Bytes<1_048_576> = default("448MiB"), "BYTES";
        /// Where compiled sandbox code is kept between starts; a folder only this user can write to
        engine_cache_dir: PathBuf = optional, "DIR";
        /// Where health and metrics are served, for operators
        metrics_listen: SocketAddr = default("127.0.0.1:9091"), "ADDRESS:PORT";
        /// How long active runs may continue after the order to stop; the rest is handed back
        drain: Span = default("20s"), "TIME";
        /// Let scripts call http services on this machine's loopback addresses. For development
        allow_loopback_http: bool = default("false"), "BOOL";
        /// Networks that scripts may not reach, beside those that are not public: the installation's own public
        /// addresses, say; commas between them
        denied_networks: DeniedNetworks = default(""), "CIDR[,CIDR…]";
        /// How the log is written: json or text
        log_format: LogFormat = default("json"), "FORMAT";
    }
}

impl Executor {
    fn conflicts(&self) -> Vec<String> {
        if self.run_api_client_cert.is_some() == self.run_api_client_key.is_some() {
            return Vec::new();
        }
        vec![
            "RESTROY_RUN_API_CLIENT_CERT and RESTROY_RUN_API_CLIENT_KEY belong together: set both or neither"
                .to_owned(),
        ]
    }
}

settings! {
    /// The settings of `restroy migrate`.
    Migrate("migrate") {
        const DEFAULT_FILE: Option<&'static str> = Some("restroy.toml");
        const LENIENT: bool = true;
    } with {
        /// The data folder of `restroy dev`
        data_dir: PathBuf = default("./.restroy"), "DIR";
        /// Postgres as the owner of the schema; migrates it instead of a data folder
        database_owner_url: SecretUrl = optional, "URL";
        /// Postgres as the control-plane's own role, which is made, or given this password
        database_url: SecretUrl = optional, "URL";
    }
}

impl Migrate {
    fn conflicts(&self) -> Vec<String> {
        if self.database_owner_url.is_some() == self.database_url.is_some() {
            return Vec::new();
        }
        vec![
            "migrating Postgres takes RESTROY_DATABASE_OWNER_URL, the owner of the schema, and RESTROY_DATABASE_URL, the \
             control-plane's own role: set both, or neither to migrate a data folder"
                .to_owned(),
        ]
    }
}

settings! {
    /// The settings of `restroy keys`.
    #[allow(clippy::struct_field_names, reason = "they go by the names that other services know them by")]
    Keys("keys") {
        const DEFAULT_FILE: Option<&'static str> = Some("restroy.toml");
        const LENIENT: bool = true;
    } with {
        /// The data folder of `restroy dev`, which must be stopped
        data_dir: PathBuf = default("./.restroy"), "DIR";
        /// The database of an installation, as the control-plane's role
        database_url: SecretUrl = optional, "URL";
        /// The installation's master keys, the newest first: id:HEX[,id:HEX…]
        master_keys: MasterKeys = optional, "KEYS";
    }
}

impl Keys {
    fn conflicts(&self) -> Vec<String> {
        if self.database_url.is_some() == self.master_keys.is_some() {
            return Vec::new();
        }
        vec![
            "the keys of an installation take RESTROY_DATABASE_URL and RESTROY_MASTER_KEYS: set both, or neither for a \
             data folder"
                .to_owned(),
        ]
    }
}

settings! {
    /// The settings of `restroy admin`.
    Admin("admin") { const LENIENT: bool = true; } with {
        /// The database, as the control-plane's role
        database_url: SecretUrl = required, "URL";
        /// Where people reach the API; in links that are printed
        public_url: WebUrl = optional, "URL";
    }
}

impl Admin {
    #[allow(clippy::unused_self, reason = "the table asks every service")]
    fn conflicts(&self) -> Vec<String> {
        Vec::new()
    }
}
