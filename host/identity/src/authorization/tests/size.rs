//! 100,000 grants, and a store that fails.

use tidegate_store::Expect;

use super::{counting::Counting, *};

const GRANTS: usize = 100_000;

async fn counted() -> (Bench, Arc<Counting>) {
    let clock = SetClock::new();
    let ground = ground(&clock, no_egress()).await;
    let store = Counting::over(Arc::clone(&ground.store));
    let ground = Ground { store: Arc::<Counting>::clone(&store), ..ground };
    (Bench::on(clock, ground, settings()).await, store)
}

/// As many grants of others.
async fn fill(bench: &Bench) {
    let now = bench.ground.clock.now();
    let grants = &bench.server.grants;
    for some in (0..GRANTS).collect::<Vec<_>>().chunks(500) {
        let mut ops = Vec::new();
        for at in some {
            let row = GrantRow {
                user: UserId::new(&format!("user{}@acme.com", at % 5_000)).unwrap(),
                kind: Kind::Person,
                client: format!("client{}", at % 100),
                client_name: "Some client".into(),
                redirect_uri: Some(WEB.into()),
                resource: Resource::Vmcp(vmcp("sales")),
                scopes: Scopes::parse("mcp"),
                origin: Origin::AuthorizationCode,
                created: now,
                last_used: now,
                expires: now.after(bench.settings.grant_idle),
                authenticated: now,
                amr: vec!["pwd".into()],
                session: None,
                generation: 1,
                rotated: now,
                family: spelling::random().unwrap(),
            };
            ops.extend(grants.write(GrantId::random().unwrap(), &row, Expect::Absent).unwrap());
        }
        assert!(bench.server.rows.commit(ops).await.unwrap());
    }
}

/// What a sign-in at a client and a refresh ask of the store.
async fn asked(bench: &Bench, store: &Counting) -> [usize; 4] {
    store.taken();
    let first = bench.tokens("public", SALES).await;
    let signing_in = store.taken();
    let form = Bench::refreshing("public", &first.refresh_token.unwrap());
    let next = bench.token(&form).await.unwrap();
    let refreshing = store.taken();
    for _ in 0..100 {
        bench.at(SALES, &next.access_token).unwrap();
    }
    let judging = store.taken();
    bench.server.revoke_grant(next.grant).await.unwrap();
    [signing_in, refreshing, judging, store.taken()]
}

#[tokio::test]
async fn among_100_000_grants_a_refresh_asks_the_store_as_little_as_among_none() {
    let (bench, store) = counted().await;
    let alone = asked(&bench, &store).await;
    assert!(alone[1] <= 4, "{alone:?}");
    assert_eq!(alone[2], 0, "a request asks nothing of the store");
    fill(&bench).await;
    assert_eq!(asked(&bench, &store).await, alone);
    let user = UserId::new("user7@acme.com").unwrap();
    store.taken();
    assert_eq!(bench.server.grants_of(&user).await.unwrap().len(), GRANTS / 5_000);
    assert!(store.taken() <= GRANTS / 5_000 + 1);
    assert_eq!(bench.server.grants(None, 50).await.unwrap().len(), 50);
    assert_eq!(store.taken(), 1);
}

#[tokio::test]
async fn where_the_store_fails_nothing_is_issued_or_said_to_be_revoked() {
    let (bench, store) = counted().await;
    let code = bench.code("public", SALES).await;
    let reply = bench.tokens("public", SALES).await;
    let refreshing = Bench::refreshing("public", reply.refresh_token.as_ref().unwrap());
    let redeeming = Bench::redeeming("public", &code);
    let pending = bench.pending(&redeeming).await.unwrap();
    let request = bench.request(&Bench::query("public", SALES)).await;
    store.breaks(true);
    let refused = bench.server.issue(pending).await.unwrap_err();
    assert_eq!((refused.code.name(), refused.code.status()), ("temporarily_unavailable", 503));
    assert!(refused.fault.is_some());
    for form in [&refreshing, &redeeming] {
        assert_eq!(code_of(&bench.token(form).await), "temporarily_unavailable");
    }
    assert!(bench.server.revoke_grant(reply.grant).await.is_err());
    assert!(bench.server.is_consented(&bench.ann(), &request).await.is_err());
    let facts = bench.signed_in();
    let granted = request.scopes;
    assert!(bench.server.approve(&bench.ann(), facts, &request, granted, true).await.is_err());
    assert!(bench.at(SALES, &reply.access_token).is_ok(), "what was issued needs no store");
    store.breaks(false);
    for form in [&refreshing, &redeeming] {
        assert_eq!(code_of(&bench.token(form).await), "issued");
    }
}
