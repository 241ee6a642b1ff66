//! The secrets of an installation, each in a file of its own, so that each container gets those that
//! it needs and no more.

use restroy_control_plane::{auth::token, secrets::MasterKey};
use restroy_sdk::time::Ambient;
use zeroize::Zeroizing;

use super::{FileMode, NewFile};

/// The executors of `docker-compose.yml`: their names, and the files of their credentials.
const EXECUTORS: [(&str, &str); 2] = [("executor-1", "executor-1-credential"), ("executor-2", "executor-2-credential")];

/// What executors may do in Redis: take ids of tasks, put back what they did not begin, hear of new ones.
/// On their own names only: an executor runs strangers' scripts, and whoever breaks out of a sandbox has
/// what it has.
const EXECUTORS_RIGHTS: &str = "resetkeys ~restroy:queue resetchannels &restroy:pushed \
     -@all +hello +auth +ping +zpopmin +zadd +multi +exec +publish +subscribe +unsubscribe";

/// New secrets.
pub(super) fn files(ambient: &Ambient) -> Vec<NewFile> {
    let [owner, service, redis, executors] = [(); 4].map(|()| password(ambient));
    let (owner, service, redis, executors) = (&**owner, &**service, &**redis, &**executors);
    let credentials = EXECUTORS.map(|(name, file)| (name, file, password(ambient)));
    let hashes = credentials.iter().map(|(name, _, credential)| {
        // The database holds hashes only, and nobody but the executor itself needs more.
        format!("{name} {}\n", hex::encode(token::hash(credential)))
    });
    let mut files = vec![
        file("postgres-password", "the password of the database's owner", owner.to_owned()),
        file(
            "database-owner-url",
            "the database as its owner, for migrations",
            format!("postgres://restroy_owner:{owner}@postgres:5432/restroy\n"),
        ),
        file(
            "database-url",
            "the database as the control-plane's role",
            format!("postgres://restroy_service:{service}@postgres:5432/restroy\n"),
        ),
        file(
            "redis.conf",
            "the users of Redis, as Redis reads them",
            format!(
                "requirepass {redis}\nuser executor on #{} {EXECUTORS_RIGHTS}\n",
                hex::encode(token::hash(executors))
            ),
        ),
        file("redis-url", "Redis, as control-planes reach it", format!("redis://:{redis}@redis:6379/0\n")),
        file(
            "executor-redis-url",
            "Redis, as executors reach it",
            format!("redis://executor:{executors}@redis:6379/0\n"),
        ),
        file("master-keys", "what secrets are sealed with", format!("{}\n", *MasterKey::generate(ambient, "k1"))),
        file("token-key", "what access tokens are signed with", format!("{}\n", *password(ambient))),
        file(
            "smtp-url",
            "the mail server; of the catcher until you name another",
            "smtp://mail:1025?tls=none\n".to_owned(),
        ),
        file("executor-hashes", "the executors' credentials as hashes, for the database", hashes.collect()),
    ];
    files.extend(
        credentials
            .iter()
            .map(|(_, name, credential)| file(name, "an executor's credential", format!("{}\n", **credential))),
    );
    files
}

fn file(name: &'static str, what: &'static str, content: String) -> NewFile {
    NewFile { name, what, mode: FileMode::Mounted, content: Zeroizing::new(content) }
}

/// 256 random bits in letters that need no quoting anywhere.
fn password(ambient: &Ambient) -> Zeroizing<String> {
    let bytes = Zeroizing::new(ambient.random::<32>());
    Zeroizing::new(hex::encode(*bytes))
}
