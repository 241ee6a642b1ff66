//! The account: signing in and out, passwords, API tokens.

use clap::{Args, Subcommand};

/// Sign in to a server; it becomes the default for other commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy login
  restroy login ada@example.com --server https://restroy.example.com
  pass restroy | restroy login ada@example.com --password-stdin
  restroy login --register                        make an account first
  pass restroy/ci | restroy login --token-stdin   by an API token; RESTROY_TOKEN does it for one command")]
pub(crate) struct Login {
    /// The account's e-mail address; prompted for if omitted
    pub(crate) email: Option<String>,
    /// Read the password from standard input (or set RESTROY_PASSWORD); prompted for if omitted
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The code of your authenticator, or a recovery code, where a second factor is on; prompted for if omitted
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Read an API token from standard input and sign in with it
    #[arg(long, conflicts_with_all = ["email", "password_stdin", "register", "code"])]
    pub(crate) token_stdin: bool,
    /// Create the account first
    #[arg(long)]
    pub(crate) register: bool,
    /// With --register: your display name [default: the part of the address before the @]
    #[arg(long, requires = "register")]
    pub(crate) name: Option<String>,
}

/// Reset the password with a token sent by e-mail
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy password ada@example.com                sends the e-mail
  restroy password --token TOKEN                  asks for the new password; every session and API token ends
  pass restroy | restroy password --token TOKEN --password-stdin")]
pub(crate) struct Password {
    /// The account's e-mail address: the token is sent there
    #[arg(required_unless_present = "token", conflicts_with = "token")]
    pub(crate) email: Option<String>,
    /// The token from the e-mail
    // Base64url: one in 64 begins with a dash.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) token: Option<String>,
    /// With --token: read the new password from standard input (or set RESTROY_PASSWORD); asked for unless given
    #[arg(long = "password-stdin", requires = "token")]
    pub(crate) stdin: bool,
    /// With --token: keep the account's API tokens, which are revoked by default
    #[arg(long, requires = "token")]
    pub(crate) keep_tokens: bool,
}

/// Show whether signing in takes a second factor; turn it on or off
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy second-factor on                        gives the secret for an authenticator, asks for its first code
  restroy second-factor codes                     new recovery codes, in place of those you had
  pass restroy | restroy second-factor on --password-stdin; restroy second-factor confirm 123456")]
pub(crate) struct SecondFactor {
    #[command(subcommand)]
    pub(crate) action: Option<SecondFactorAction>,
}

/// What is to be done with one's second factor.
#[derive(Debug, Subcommand)]
pub(crate) enum SecondFactorAction {
    /// Turn it on: prints a secret for an authenticator and, after its first code, recovery codes
    On {
        /// Read the password from standard input (or set RESTROY_PASSWORD); prompted for if omitted
        #[arg(long)]
        password_stdin: bool,
    },
    /// Confirm it with the authenticator's first code if `on` could not prompt for it
    Confirm {
        /// The code
        code: String,
    },
    /// Create new recovery codes; the old codes no longer work
    Codes {
        /// Read the password from standard input (or set RESTROY_PASSWORD); prompted for if omitted
        #[arg(long)]
        password_stdin: bool,
    },
    /// Turn it off and delete the recovery codes
    Off {
        /// Read the password from standard input (or set RESTROY_PASSWORD); prompted for if omitted
        #[arg(long)]
        password_stdin: bool,
    },
}

/// End the session
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// End every session of the account
    #[arg(long)]
    pub(crate) everywhere: bool,
}

/// List your API tokens, create one, or revoke one
///
/// A token is for programs. It does what you may do, in all your teams by default, and cannot change your account.
/// It is shown once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy tokens
  restroy tokens --create CI --expires 90d --scope pipeline.run --scope run.read --team Sales
  restroy tokens --revoke 0197a4e0-0000-7000-8000-000000000000")]
pub(crate) struct Tokens {
    /// Create a token of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) create: Option<String>,
    /// With --create: its lifetime, such as 12h, 90d or 52w [default: it never expires]
    #[arg(long, requires = "create", value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// With --create: a permission of the token; may be repeated [default: all of yours]
    #[arg(long = "scope", requires = "create", value_name = "PERMISSION")]
    pub(crate) scopes: Vec<String>,
    /// With --create: the only team that it reaches, by name or id
    #[arg(long, requires = "create", value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// With --create: read the account's password from standard input (or set RESTROY_PASSWORD); asked for unless
    /// given
    #[arg(long, requires = "create")]
    pub(crate) password_stdin: bool,
    /// Revoke the token of this id
    #[arg(long, conflicts_with = "create", value_name = "ID")]
    pub(crate) revoke: Option<String>,
}
