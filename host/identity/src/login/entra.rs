//! What is particular to Microsoft Entra ID: groups that do not fit a token, and whose an
//! e-mail address is.
//!
//! With more than 200 groups a token only says that there are some; they are then asked for at
//! Microsoft Graph in the person's own name. Where to ask is known from the settings: what the
//! token says of it is not followed. A list that cannot be read whole is no list.
//!
//! Entra calls no address verified, and lets guests bring addresses that their own
//! administrators wrote. One counts if a claim vouches for it, or if a member of the tenant
//! has it in the domain of their sign-in name, which a tenant has to prove.

use http::{Method, header};
use openidconnect::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::Value;
use tidegate_wire::client::egress::Origin;

use super::{
    LoginRefused,
    claims::{Claims, ClaimsRefused, LOOKED_UP},
    provider::Reach,
};

/// The most pages that are asked for.
const PAGES: usize = 10;
/// What is a group among all that somebody may be a member of.
const GROUP: &str = "#microsoft.graph.group";

/// One page of Graph's answer.
#[derive(Deserialize)]
struct Page {
    value: Vec<Member>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Member {
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
    id: String,
}

/// Whether there are more groups than the token names.
pub(super) fn is_over(claims: &Claims, groups: &str) -> bool {
    let named_elsewhere = claims.get("_claim_names").and_then(Value::as_object);
    named_elsewhere.is_some_and(|names| names.contains_key(groups))
        || claims.get("hasgroups").is_some_and(|has| *has == true || *has == "true")
}

/// Whether the tenant vouches for this address of the person.
pub(super) fn vouches(tenant: &str, claims: &Claims, address: &str) -> bool {
    // "Email domain owner verified", an optional claim.
    if let Some(said) = claims.get("xms_edov").filter(|said| !said.is_null()) {
        return is_yes(said);
    }
    let listed = ["verified_primary_email", "verified_secondary_email"];
    let listed = listed.into_iter().filter_map(|name| claims.get(name)).filter_map(Value::as_array);
    if listed.flatten().filter_map(Value::as_str).any(|it| it.eq_ignore_ascii_case(address)) {
        return true;
    }
    let names = ["upn", "preferred_username"].into_iter().filter_map(|name| claims.get(name));
    let mut domains = names.filter_map(|name| domain(name.as_str()?));
    let own = domain(address);
    !is_guest(tenant, claims) && own.is_some() && domains.any(|of_name| Some(of_name) == own)
}

/// Whether anything says that somebody is at home elsewhere.
fn is_guest(tenant: &str, claims: &Claims) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let member = claims.get("acct").is_none_or(|acct| *acct == 0 || *acct == "0");
    // Who authenticated them, in either form that the tenant itself has.
    let home = claims.get("idp").is_none_or(|idp| {
        let legacy = format!("https://sts.windows.net/{tenant}/");
        Some(idp) == claims.get("iss") || *idp == legacy.to_lowercase()
    });
    let marked =
        |name: &str| text(name).is_some_and(|it| it.to_ascii_uppercase().contains("#EXT#"));
    !member || !home || marked("upn") || marked("preferred_username")
}

fn is_yes(said: &Value) -> bool {
    *said == true || *said == 1 || *said == "1" || *said == "true"
}

fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    Some(domain.to_lowercase()).filter(|domain| !domain.is_empty())
}

/// All groups of the person whose access token this is.
pub(super) async fn groups(
    reach: &Reach,
    graph: &str,
    access_token: &str,
) -> Result<Vec<String>, LoginRefused> {
    let origin = Origin::split(graph).map(|(origin, _)| origin);
    let origin = origin.map_err(|_| LoginRefused::Untrusted("its directory has no address"))?;
    let base = graph.trim_end_matches('/');
    let mut url = format!("{base}/me/transitiveMemberOf?$select=id&$top=999");
    let mut groups = Vec::new();
    for _ in 0..PAGES {
        let page = page(reach, &url, access_token).await?;
        let found = page.value.into_iter().filter(|it| it.kind.as_deref() == Some(GROUP));
        groups.extend(found.map(|it| it.id));
        if groups.len() > LOOKED_UP {
            break;
        }
        let Some(next) = page.next else { return Ok(groups) };
        let same = Origin::split(&next).is_ok_and(|(of, _)| of == origin);
        if !same || !next.starts_with(base) {
            return Err(LoginRefused::Untrusted("its list of groups goes on elsewhere"));
        }
        url = next;
    }
    Err(ClaimsRefused::TooMany.into())
}

async fn page(reach: &Reach, url: &str, access_token: &str) -> Result<Page, LoginRefused> {
    let unread = LoginRefused::Untrusted("its list of groups cannot be read");
    let request = http::Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
        .body(Vec::new());
    let Ok(request): Result<HttpRequest, _> = request else { return Err(unread) };
    let answer: HttpResponse = reach.exchange(request).await.map_err(|why| {
        tracing::warn!(%why, "the groups of somebody who signs in cannot be looked up");
        LoginRefused::Untrusted("its list of groups cannot be asked for")
    })?;
    if answer.status() != http::StatusCode::OK {
        tracing::warn!(status = answer.status().as_u16(), "Microsoft Graph refuses to list groups");
        return Err(LoginRefused::Untrusted("its list of groups is refused"));
    }
    serde_json::from_slice(answer.body()).map_err(|_| unread)
}
