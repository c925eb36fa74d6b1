use super::*;

/// The example of the README, with every table.
const WHOLE: &str = r#"
[sign_in]
accounts = false
provider = "okta"
join = "invited"
idle_hours = 8
lifetime_days = 2
[providers.okta]
preset = "okta"
title = "Acme single sign-on"
issuer = "https://acme.okta.com"
client_id = "0oa1"
client_secret = "file:secret"
allow_addresses = ["10.0.0.5"]
[providers.okta.claims]
groups = "realm.groups"
[providers.entra]
preset = "entra"
tenant = "0f1e"
client_id = "a"
client_secret = "file:secret"
[roles]
admin = ["platform-team"]
gardener = ["garden"]
[clients.reporting]
name = "Reporting"
secret = "sha256:00ff000000000000000000000000000000000000000000000000000000000001"
agent = "reporting-bot"
vmcps = ["sales"]
[registration]
dynamic = false
document_hosts = ["claude.ai"]
[tokens]
access_minutes = 5
[assertions."https://idp.example.com"]
jwks_uri = "https://idp.example.com/jwks"
provider = "okta"
[scim]
token = "sha256:ff00000000000000000000000000000000000000000000000000000000000000"
"#;

#[test]
fn every_table_arrives_in_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "canary\n").unwrap();
    let mut config: IdentityConfig = toml::from_str(WHOLE).unwrap();
    config.rooted(dir.path());
    assert_eq!(config.faults(), []);
    assert_eq!(config.files(), [dir.path().join("secret")].into());
    let settings = config.to_settings().unwrap();
    assert!(!settings.accounts && !settings.open_join && !settings.dynamic_registration);
    assert_eq!(settings.enforced.as_deref(), Some("okta"));
    assert_eq!(settings.session_idle.as_secs(), 8 * 3_600);
    assert_eq!(settings.session_lifetime.as_secs(), 2 * 86_400);
    assert_eq!(settings.access_lifetime.as_secs(), 300);
    assert_eq!(settings.grant_idle.as_secs(), 30 * 86_400);
    let okta = &settings.providers["okta"];
    assert_eq!(okta.client_secret.expose(), "canary");
    assert_eq!(okta.scopes, ["openid", "email", "profile", "groups"]);
    assert_eq!(
        (okta.claims.groups.as_str(), okta.claims.email.as_str()),
        ("realm.groups", "email")
    );
    let entra = &settings.providers["entra"];
    assert_eq!(entra.issuer, "https://login.microsoftonline.com/0f1e/v2.0");
    assert!(!entra.trust_email && !okta.trust_email, "guests bring addresses of their own");
    let client = &settings.clients["reporting"];
    assert_eq!(client.secret.unwrap()[..2], [0, 255]);
    assert_eq!(client.agent.as_ref().unwrap().as_str(), "reporting-bot");
    assert_eq!(settings.scim_token.unwrap()[0], 255);
    assert_eq!(
        settings.assertion_issuers["https://idp.example.com"].provider.as_deref(),
        Some("okta")
    );
    // Written and read again it is the same, which is how it travels to the admin API.
    let again: IdentityConfig =
        serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn an_empty_file_is_the_default() {
    let config: IdentityConfig = toml::from_str("").unwrap();
    let (made, usual) = (config.to_settings().unwrap(), Settings::default());
    assert_eq!(format!("{made:?}"), format!("{usual:?}"));
}

#[test]
fn what_does_not_fit_is_a_sentence_with_a_remedy() {
    const OIDC: &str = "[providers.a]\nissuer = \"https://a\"\nclient_id = \"c\"\n\
        client_secret = \"env:X\"\n";
    for (text, part) in [
        ("[sign_in]\nprovider = \"okta\"", "names `okta`, which there is not"),
        ("[sign_in]\naccounts = false", "nobody could sign in"),
        ("[sign_in]\nidle_hours = 0", "`sign_in.idle_hours` must be from 1"),
        ("[tokens]\naccess_minutes = 61", "`tokens.access_minutes` must be from 1 to 60"),
        (&format!("{OIDC}scopes = [\"email\"]"), "lacks `openid`"),
        (&format!("{OIDC}tenant = \"x\""), "`tenant` belongs to another preset"),
        (&format!("{OIDC}hosted_domain = \"x\""), "`hosted_domain` belongs to another preset"),
        (&OIDC.replace("https://a", "http://a"), "`issuer` is no https URL"),
        (&OIDC.replace("https://a", "https://u@a"), "`issuer` is no https URL"),
        (&OIDC.replace("issuer = \"https://a\"", "preset = \"entra\""), "needs `tenant`"),
        (&OIDC.replace("issuer = \"https://a\"", "preset = \"google\""), "would let in everybody"),
        (&OIDC.replace("issuer = \"https://a\"", "preset = \"okta\""), "needs `issuer`"),
        (&OIDC.replace("[providers.a]", "[providers.\"A b\"]"), "has a name that cannot be used"),
        ("[clients.x]\nname = \"X\"", "has neither `redirect_uris` nor `agent`"),
        ("[clients.x]\nname = \"X\"\nagent = \"bot\"", "proves nothing"),
        (
            "[clients.x]\nname = \"X\"\nredirect_uris = [\"https://a\"]\nsecret = \"hunter2\"",
            "`secret` is no digest",
        ),
        (
            "[clients.x]\nname = \"X\"\nredirect_uris = [\"https://a\"]\nroles = [\"admin\"]",
            "no `agent`",
        ),
        (
            "[clients.dyn_x]\nname = \"X\"\nredirect_uris = [\"https://a\"]",
            "has a name that cannot",
        ),
        ("[roles]\nadmn = [\"x\"]", "`roles.admn` is no role"),
        ("[scim]\ntoken = \"secret\"", "`scim.token` is no digest"),
        ("[assertions.\"http://idp\"]\njwks_uri = \"https://a\"", "no https URL"),
        ("[registration]\ndocument_hosts = [\"https://a\"]", "`registration.document_hosts`"),
    ] {
        let config: IdentityConfig = toml::from_str(text).expect(text);
        let faults = config.faults();
        let found = faults.iter().any(|(message, help)| message.contains(part) && !help.is_empty());
        assert!(found, "{text}: {faults:?}");
        assert!(config.to_settings().is_err(), "{text}");
    }
}

#[test]
fn a_secret_that_is_missing_is_named_and_never_shown() {
    let text = "[providers.a]\nissuer = \"https://a\"\nclient_id = \"c\"\n\
        client_secret = \"file:/nowhere/at/all\"\n";
    let config: IdentityConfig = toml::from_str(text).unwrap();
    assert_eq!(config.faults(), []);
    let faults = config.to_settings().unwrap_err();
    assert!(faults[0].0.contains("`/nowhere/at/all`"), "{faults:?}");
    // A secret itself is no reference.
    let plain = text.replace("file:/nowhere/at/all", "hunter2");
    assert!(toml::from_str::<IdentityConfig>(&plain).is_err());
}
