//! What of a set of resources reaches the machine that the gateway runs on: programs, files,
//! secrets of its environment, addresses that only it can reach.
//!
//! All organisations share that machine, so whoever runs the gateway decides on these, in
//! files or on the admin socket. An administrator who comes over the network, of whatever
//! organisation, may keep what is there and not add to it. Knows nothing of callers.

use super::{
    Resources,
    connector::{ConnectorConfig, ConnectorKind},
    plugin::PluginConfig,
};

/// The first resource of `new` that reaches the machine and is not in `now` just so, as
/// `resource name`.
pub fn reached(now: &Resources, new: &Resources) -> Option<String> {
    let connector = new
        .connectors
        .iter()
        .find(|(name, config)| now.connectors.get(*name) != Some(*config) && is_of_machine(config));
    let plugin = new.plugins.iter().find(|(name, config)| {
        !now.plugins.get(*name).is_some_and(|known| reaches_alike(known, config))
    });
    let identity = new.identity.is_some() && new.identity != now.identity;
    connector
        .map(|(name, _)| format!("connector {name}"))
        .or_else(|| plugin.map(|(name, _)| format!("plugin {name}")))
        .or_else(|| identity.then(|| "identity settings".to_owned()))
}

/// Any connector but one that is reached over the public network without a secret of the
/// machine (those in the vault are bound to where they may be sent): whatever
/// else changes about one with a secret may change who gets it.
fn is_of_machine(config: &ConnectorConfig) -> bool {
    config.kind != ConnectorKind::Remote
        || config.auth.as_ref().is_some_and(|auth| auth.reference().is_some())
        || !config.credentials.is_empty()
        || !config.allow.is_empty()
        || config.component.is_some()
        || config.command.is_some()
}

/// Whether two plugins have the same files, secrets and hosts.
fn reaches_alike(one: &PluginConfig, other: &PluginConfig) -> bool {
    one.component == other.component
        && one.digest == other.digest
        && one.signed_by == other.signed_by
        && one.previous == other.previous
        && one.held == other.held
        && one.http == other.http
        && one.credentials == other.credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(folder: &str, name: &str, text: &str) -> Resources {
        let mut all = Resources::default();
        match folder {
            "connector" => {
                all.connectors.insert(name.parse().unwrap(), toml::from_str(text).unwrap());
            }
            "plugin" => {
                all.plugins.insert(name.parse().unwrap(), toml::from_str(text).unwrap());
            }
            _ => all.identity = Some(toml::from_str(text).unwrap()),
        }
        all
    }

    const REMOTE: &str = "kind = \"remote\"\nurl = \"https://mcp.example.com/mcp\"\n";

    #[test]
    fn what_reaches_the_machine_is_named() {
        let cases = [
            ("connector", "kind = \"hosted\"\ncommand = \"sh\"\n".to_owned()),
            ("connector", "kind = \"wasm\"\ncomponent = \"/tmp/a.wasm\"\n".to_owned()),
            ("connector", format!("{REMOTE}allow = [\"loopback\"]\n")),
            ("connector", format!("{REMOTE}auth = {{ secret = \"env:ROOT\" }}\n")),
            ("connector", format!("{REMOTE}auth = {{ secret = \"file:/etc/shadow\" }}\n")),
            ("plugin", "component = \"/tmp/a.wasm\"\n".to_owned()),
            ("identity settings", "[sign_in]\naccounts = false\n".to_owned()),
        ];
        for (what, text) in cases {
            let new = with(what, "x", &text);
            let named = reached(&Resources::default(), &new);
            let expected =
                if new.identity.is_some() { what.to_owned() } else { format!("{what} x") };
            assert_eq!(named, Some(expected), "{text}");
            assert_eq!(reached(&new, &new), None, "what is there may stay: {text}");
        }
        assert_eq!(reached(&Resources::default(), &with("connector", "x", REMOTE)), None);
    }

    #[test]
    fn a_secret_goes_nowhere_else() {
        let auth = "auth = { secret = \"env:TOKEN\" }\n";
        let now = with("connector", "x", &format!("{REMOTE}{auth}"));
        let elsewhere = REMOTE.replace("example.com", "example.org");
        let new = with("connector", "x", &format!("{elsewhere}{auth}"));
        assert_eq!(reached(&now, &new), Some("connector x".to_owned()));
        let without = with("connector", "x", &elsewhere);
        assert_eq!(reached(&now, &without), None);
    }

    #[test]
    fn a_plugin_may_be_bound_and_configured_and_not_led_elsewhere() {
        let text = "component = \"/srv/redact.wasm\"\n";
        let now = with("plugin", "x", text);
        for (more, is_free) in [
            ("mode = \"observe\"\nbind = [{ vmcp = \"main\" }]\n[config]\nmask = []\n", true),
            ("http = { hosts = [\"internal.example.com\"] }\n", false),
            ("digest = \"sha256:00\"\n", false),
            ("credentials.crm = { env = \"ROOT\", hosts = [\"example.com\"] }\n", false),
        ] {
            let new = with("plugin", "x", &format!("{text}{more}"));
            assert_eq!(reached(&now, &new).is_none(), is_free, "{more}");
        }
    }
}
