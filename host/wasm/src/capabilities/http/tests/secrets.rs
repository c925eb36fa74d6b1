//! A credential's way out and back: where its secret arrives, and that no guest sees it.

use super::*;

/// The guest puts the handle wherever it may and tells all it sees; the server says
/// everything back.
#[tokio::test]
async fn a_secret_arrives_and_is_never_seen() {
    let mock = Mock::start(|seen, _| echo(seen)).await;
    let here = authority(&mock);
    let bench = Bench::to(&[&here]).await;
    for (path, body) in [("/?token=@key@&x=1", ""), ("/plain", ""), ("/stored", "text")] {
        let authorization = if path == "/plain" { "none" } else { "Bearer @key@" };
        let request = json!({
            "method": if body.is_empty() { "GET" } else { "POST" },
            "authority": here, "path": path, "body": body,
            "headers": [["authorization", authorization], ["accept-encoding", "gzip"],
                ["content-length", body.len().to_string()]],
        });
        let told = bench.call("fetch", request).await.unwrap().to_string();
        assert!(!told.contains("canary-6d1f"), "{told}");
        assert!(told.contains("*****") || path == "/plain", "{told}");
    }
    let seen = mock.seen();
    assert_eq!(seen[0].header("authorization"), Some(format!("Bearer {CANARY}").as_str()));
    assert_eq!(seen[0].path, "/?token=canary-6d1f%2F%2Bx&x=1");
    assert!(seen.iter().all(|seen| seen.header("accept-encoding") == Some("identity")));
    assert!(bench.connector.lines(0).iter().all(|line| !line.text.contains("canary")));
}

#[tokio::test]
async fn a_handle_elsewhere_refuses_the_request() {
    let mock = Mock::start(|seen, _| match seen.path.as_str() {
        "/packed" => vec![Act::reply(200, &[("content-encoding", "gzip")], "…")],
        _ => echo(seen),
    })
    .await;
    let other = Mock::start(|seen, _| echo(seen)).await;
    let (here, there) = (authority(&mock), authority(&other));
    let bench = Bench::to(&[&there, &here]).await;
    for (request, code) in [
        (json!({ "authority": here, "path": "/@key@" }), "HttpRequestDenied"),
        (json!({ "authority": there, "path": "/?@key@" }), "HttpRequestDenied"),
        (json!({ "authority": there, "headers": [["x", "@key@"]] }), "HttpRequestDenied"),
        (json!({ "authority": here, "method": "POST", "body": "a @key@" }), "HttpRequestDenied"),
        (json!({ "authority": here, "headers": [["x", "@none@"]] }), "unknown"),
        (json!({ "authority": here, "path": "/packed" }), "HttpResponseContentCoding"),
    ] {
        let refusal = bench.refusal("fetch", request.clone()).await;
        assert!(refusal.contains(code), "{request}: {refusal}");
    }
    assert_eq!(other.connections(), 0);
    assert!(mock.seen().iter().all(|seen| seen.path == "/packed" || !seen.body.contains("tgh_")));
}

/// Without encryption a secret stays on this machine, whatever else the binding may reach.
#[tokio::test]
async fn a_secret_leaves_the_machine_only_encrypted() {
    let resolver = Resolver::Fixed(Arc::new(|_| Ok(vec!["10.0.0.1".parse().unwrap()])));
    let egress = Egress::new(resolver, None).unwrap();
    let allow = AddressPolicy {
        loopback: true,
        private: true,
        plain_http: true,
        ..AddressPolicy::default()
    };
    let hosts = Hosts::parse(["crm.test"]).unwrap();
    let key = CredentialHandle::new("key", hosts.clone(), || Some(Secret::new(CANARY.into())));
    let http = Some(Arc::new(HttpReach::new(egress, allow, hosts)));
    let reach = Reach { http, credentials: Arc::from([key]), ..Reach::default() };
    let bench = Bench::new(reach, Limits::CONNECTOR).await;
    let request = json!({ "authority": "crm.test", "headers": [["x", "@key@"]] });
    let refusal = bench.refusal("fetch", request).await;
    assert!(refusal.contains("DestinationIpProhibited"), "{refusal}");
}
