//! The macro that makes a service of a table.

/// Writes a service down:
///
/// ```text
/// settings! {
///     /// The settings of `restroy example`.
///     Example("example") {
///         /// Where it listens
///         listen: SocketAddr = default("127.0.0.1:8080"), "ADDRESS:PORT";
///         /// The key
///         key: SecretText = required, "KEY";
///         /// A folder for later
///         folder: PathBuf = optional, "DIR";
///     }
/// }
/// ```
///
/// gives a struct with these fields (an optional one is an `Option`) and its [`Service`]; what is
/// wrong with them taken together is told by a method `conflicts(&self) -> Vec<String>` beside it.
///
/// [`Service`]: super::Service
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $name:ident($command:literal) $({ $($also:tt)* })? with {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $unset:ident $(($default:literal))?, $value_name:literal;)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $($(#[doc = $doc])+ pub(crate) $field: $crate::settings::table::settings!(@type $unset $type),)+
        }

        impl $crate::settings::Service for $name {
            const COMMAND: &'static str = $command;
            const TABLE: &'static [$crate::settings::Setting] = &[$($crate::settings::Setting {
                key: stringify!($field),
                help: &[$($doc),+],
                value_name: $value_name,
                unset: $crate::settings::table::settings!(@unset $unset $($default)?),
                secret: <$type as $crate::settings::value::Value>::SECRET,
                switch: <$type as $crate::settings::value::Value>::SWITCH,
                check: |text| <$type as $crate::settings::value::Value>::read(text).map(drop),
            }),+];
            $($($also)*)?

            fn build(values: &std::collections::BTreeMap<&'static str, String>) -> Result<Self, String> {
                Ok(Self { $($field: $crate::settings::table::settings!(@read $unset $type, values, stringify!($field)),)+ })
            }

            fn shown(&self) -> Vec<(&'static str, Option<toml::Value>)> {
                vec![$((stringify!($field), $crate::settings::table::settings!(@shown $unset self.$field))),+]
            }

            fn faults(&self) -> Vec<String> {
                self.conflicts()
            }
        }
    };
    (@type optional $type:ty) => { Option<$type> };
    (@type $unset:ident $type:ty) => { $type };
    (@unset required) => { $crate::settings::DefaultValue::Refused };
    (@unset optional) => { $crate::settings::DefaultValue::Nothing };
    (@unset default $default:literal) => { $crate::settings::DefaultValue::Is($default) };
    (@read optional $type:ty, $values:ident, $key:expr) => {
        $values.get($key).map(|text| <$type as $crate::settings::value::Value>::read(text)).transpose()?
    };
    (@read $unset:ident $type:ty, $values:ident, $key:expr) => {
        <$type as $crate::settings::value::Value>::read($values.get($key).map_or("", String::as_str))?
    };
    (@shown optional $value:expr) => { $value.as_ref().map($crate::settings::value::Value::shown) };
    (@shown $unset:ident $value:expr) => { Some($crate::settings::value::Value::shown(&$value)) };
}

pub(crate) use settings;
