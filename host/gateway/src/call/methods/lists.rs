//! The list methods: a page at a time, with a cursor of our own.

use http::StatusCode;
use tidegate_model::Json;
use tidegate_wire::{
    mcp::{Era, code, peek::ListParams},
    server::Rejection,
};

use super::{Asked, Reply};
use crate::{
    call::{
        list::{List, Page},
        refusal,
    },
    plugin::viewed,
};

/// How long a modern client may keep a list or a discovery, in milliseconds: not at all, since what is
/// visible can change with the next revision.
pub(super) const TTL_MS: u64 = 0;

/// The page that was asked for; on record when it returns.
pub(super) async fn page(asked: Asked<'_>, list: List) -> Result<Reply, Rejection> {
    let Asked { gateway, context, vmcp, spoken, message } = asked;
    let era = spoken.revision.era();
    let visible = context.revision.visible(&context.caller, vmcp, list);
    let params = ListParams::read(message.message.params());
    let after = match params.map_err(|error| Rejection::params(era, &error))?.cursor {
        None => None,
        Some(cursor) => {
            let of = (&vmcp.vmcp.id, list);
            let name = gateway.cursors.open(&context.caller, of, &cursor);
            let place = name.and_then(|name| list.place(vmcp, &name));
            Some(place.ok_or_else(bad_cursor)?)
        }
    };
    // As with connecting, a policy that forbids listing counts; that none permits it does not.
    let listing = context.revision.policies.authorize_list(
        &context.caller,
        &vmcp.vmcp.id,
        &context.circumstances(),
    );
    let forbidden = matches!(listing, Err(denial) if !denial.policies.is_empty());
    let mut record = gateway.open_record(context, &vmcp.vmcp.id, list.method().name());
    let shown = viewed::Asked { context, vmcp, list, visible: &visible };
    let page = if forbidden {
        Page::empty()
    } else {
        match viewed::changes(shown, &mut record).await {
            changes if changes.is_empty() => visible.page_after(vmcp, list, after),
            changes => {
                let at = (after, context.revision.page);
                visible.changed_page_after(vmcp, list, at, &changes)
            }
        }
    };
    let result = text(asked, list, &page);
    record.done().await.map_err(|error| {
        let words = refusal::sentence(&refusal::audit(error));
        Rejection::new(StatusCode::OK, code::INTERNAL_ERROR, words)
    })?;
    Ok(Reply::Result(result))
}

fn bad_cursor() -> Rejection {
    let words = "this cursor is not valid (any more); start the list anew";
    Rejection::new(StatusCode::OK, code::INVALID_PARAMS, words)
}

/// The result around a page that is text already.
fn text(asked: Asked<'_>, list: List, page: &Page) -> Json {
    let mut text = Vec::with_capacity(page.entries.len() + 256);
    text.extend_from_slice(b"{\"");
    text.extend_from_slice(list.member().as_bytes());
    text.extend_from_slice(b"\":");
    text.extend_from_slice(&page.entries);
    if let Some(last) = &page.last {
        let of = (&asked.vmcp.vmcp.id, list);
        text.extend_from_slice(br#","nextCursor":""#);
        // Base64url needs no escape.
        let cursor = asked.gateway.cursors.seal(&asked.context.caller, of, last);
        text.extend_from_slice(cursor.as_bytes());
        text.push(b'"');
    }
    if asked.spoken.revision.era() == Era::Modern {
        text.extend_from_slice(br#","resultType":"complete","ttlMs":"#);
        text.extend_from_slice(TTL_MS.to_string().as_bytes());
        // What is visible depends on who asks.
        text.extend_from_slice(br#","cacheScope":"private""#);
    }
    text.push(b'}');
    Json::from_checked(text.into())
}
