//! What a virtual MCP publishes beside tools: prompts, resources, templates.
//!
//! Only names and URIs are exchanged, in the text of each definition; what an administrator
//! changes about tools has no counterpart here. Prompt names are not pinned: they follow from
//! the order of connectors and what these offer.

use std::{collections::HashSet, sync::Arc};

use tidegate_model::{Json, Offer, Prompt, VirtualMcp};

use super::{
    CatalogInput, PublishedPrompt, PublishedResource, PublishedTemplate, Uris,
    definition::with_text,
    names::{self, Wanted},
    snapshot::Besides,
};

/// Everything beside tools, in order.
pub(super) fn publish(vmcp: &VirtualMcp, input: &CatalogInput, uris: &Uris) -> Besides {
    let mut besides = Besides { prompts: prompts(vmcp, input, uris), ..Besides::default() };
    for connector in &vmcp.connectors {
        let Some(offer) = input.offers.get(connector) else { continue };
        let Offer { resources, templates, features, .. } = &**offer;
        besides.features.insert(connector.clone(), features.clone());
        besides.resources.extend(resources.iter().map(|resource| {
            let uri = uris.publish(connector, &resource.uri);
            PublishedResource {
                definition: exchanged(&resource.definition, "uri", &resource.uri, &uri),
                uri: uri.into(),
                resource: Arc::clone(resource),
            }
        }));
        besides.templates.extend(templates.iter().map(|template| {
            let text = uris.publish_template(connector, &template.template);
            let definition =
                exchanged(&template.definition, "uriTemplate", &template.template, &text);
            PublishedTemplate {
                definition,
                uri_template: text.into(),
                template: Arc::clone(template),
            }
        }));
    }
    besides
}

fn prompts(vmcp: &VirtualMcp, input: &CatalogInput, uris: &Uris) -> Vec<PublishedPrompt> {
    let offered = vmcp.connectors.iter().filter_map(|connector| input.offers.get(connector));
    let mut seen = HashSet::new();
    let prompts: Vec<&Arc<Prompt>> = offered
        .flat_map(|offer| offer.prompts.iter())
        .filter(|prompt| seen.insert((&prompt.connector, &prompt.name)))
        .collect();
    let wanted: Vec<Wanted<'_>> = prompts
        .iter()
        .map(|prompt| Wanted {
            connector: &prompt.connector,
            original: prompt.name.as_str(),
            chosen: None,
            pinned: None,
        })
        .collect();
    let names = if uris.is_identity() { names::keep(&wanted) } else { names::assign(&wanted) };
    let published = prompts.into_iter().zip(names).filter_map(|(prompt, name)| {
        let name = name?;
        Some(PublishedPrompt {
            definition: exchanged(&prompt.definition, "name", prompt.name.as_str(), &name),
            name: name.into(),
            prompt: Arc::clone(prompt),
        })
    });
    published.collect()
}

/// The definition with the member exchanged, where it changes at all.
fn exchanged(definition: &Json, member: &str, original: &str, published: &str) -> Json {
    if original == published {
        definition.clone()
    } else {
        with_text(definition, member, published)
    }
}

#[cfg(test)]
mod tests;
