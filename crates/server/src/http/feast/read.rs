//! `/get-online-features`: from Feast's names to the engine's, and back.

use super::answer::{Named, online_response};
use super::errors::Refused;
use super::form::{Form, Members};
use super::values::column;
use crate::http::App;
use crate::http::body::Content;
use crate::http::errors::{HttpError, JsonAnswer};
use crate::http::features::SMALL_BODY;
use crate::http::json::expected;
use crate::nearest::nearest;
use crate::session::Session;
use arrow::array::ArrayRef;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;
use std::collections::HashSet;
use thalweg_definition::DataType;
use thalweg_engine::{FeatureRequest, Runtime, Wanted};

pub async fn online_features(
    State(app): State<App>,
    session: Result<Session, HttpError>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let session = session?;
    Content::json_only(&headers)?;
    let compressed = headers.contains_key(header::CONTENT_ENCODING);
    let body = app.bodies.read(&headers, body).await?;
    if body.bytes.len() > SMALL_BODY || compressed {
        return app.blocking(session, move |session| Ok(answer(session, &body.decompressed()?.bytes))).await?;
    }
    let resolved = Resolved::read(&session, &body.bytes)?;
    if resolved.may_block {
        return app.blocking(session, move |session| Ok(resolved.answer(session))).await?;
    }
    resolved.answer(&session)
}

fn answer(session: &Session, text: &[u8]) -> Result<Response, Refused> {
    Resolved::read(session, text)?.answer(session)
}

/// A request in the engine's terms.
struct Resolved {
    request: FeatureRequest,
    /// The names under which its results are shown.
    names: Vec<Named>,
    with_views: bool,
    /// Whether the read may wait for something, so that it is for a thread that may.
    may_block: bool,
}

impl Resolved {
    fn read(session: &Session, text: &[u8]) -> Result<Self, Refused> {
        let asked = Asked::read(text)?;
        let runtime = session.runtime()?;
        let (request, names) = asked.resolve(&runtime)?;
        let may_block = runtime.may_block(&request.wanted);
        Ok(Self { request, names, with_views: asked.with_views, may_block })
    }

    fn answer(self, session: &Session) -> Result<Response, Refused> {
        let response = session.read(self.request)?;
        Ok(JsonAnswer::text(online_response(&response, &self.names, self.with_views)).into_response())
    }
}

/// A request as Feast's clients write it.
struct Asked<'a> {
    service: Option<String>,
    features: Vec<String>,
    entities: Members<'a>,
    full_names: bool,
    with_views: bool,
}

impl<'a> Asked<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Refused> {
        let mut form = Form::read(text)?;
        let asked = Self {
            service: form.optional_text("feature_service").filter(|name| !name.is_empty()),
            features: form.texts("features"),
            entities: form.lists("entities"),
            full_names: form.flag("full_feature_names", false),
            with_views: form.flag("include_feature_view_version_metadata", false),
        };
        form.done()?;
        Ok(asked)
    }

    /// The request in the engine's terms, and the names under which its results are shown.
    fn resolve(&self, runtime: &Runtime) -> Result<(FeatureRequest, Vec<Named>), Refused> {
        let (wanted, names) = match &self.service {
            Some(service) => (Wanted::Service(service.clone()), self.names_of_service(runtime, service)),
            None => {
                let names = self.names_of_features(runtime)?;
                (Wanted::Features(names.iter().map(|named| named.reference.clone()).collect()), names)
            }
        };
        let (keys, needed) = expected(runtime, &wanted).map_err(|error| match &wanted {
            Wanted::Service(_) => Refused::not_found("FeatureServiceNotFoundException", error.to_string()),
            Wanted::Features(_) => error.into(),
        })?;
        check_collisions(&names, self.full_names)?;
        let (entities, request) = self.columns(runtime, &keys, &needed)?;
        Ok((FeatureRequest { wanted, entities, request, as_of: None }, names))
    }

    /// None where there is no such service.
    fn names_of_service(&self, runtime: &Runtime, service: &str) -> Vec<Named> {
        let Some(service) = runtime.services.get(service) else { return Vec::new() };
        let features = service.plan.features.iter();
        features
            .map(|feature| match feature.name.split_once('.') {
                Some((view, output)) => self.named(feature.name.clone(), Some(view), output),
                None => self.named(feature.name.clone(), None, &feature.name),
            })
            .collect()
    }

    fn names_of_features(&self, runtime: &Runtime) -> Result<Vec<Named>, Refused> {
        if self.features.is_empty() {
            return Err(Refused::wrong(
                "it is not said what to read: name a `feature_service`, or list `features` as \"view:feature\"",
            ));
        }
        self.features.iter().map(|reference| self.feature(runtime, reference)).collect()
    }

    /// `view:feature` is an output of a view; where there is no such view, it is the on-demand feature of that name,
    /// whose view is Feast's alone.
    fn feature(&self, runtime: &Runtime, reference: &str) -> Result<Named, Refused> {
        let Some((view, feature)) = reference.split_once(':') else {
            return Err(Refused::wrong(format!("`{reference}` names no feature: write \"view:feature\"")));
        };
        let view = match view.split_once('@') {
            None => view,
            Some((view, version)) if version.eq_ignore_ascii_case("latest") => view,
            Some((view, version)) => {
                return Err(Refused::wrong(format!(
                    "`{reference}` asks for version `{version}`: only the view in force is served, write \
                     \"{view}:{feature}\""
                )));
            }
        };
        if runtime.views.contains_key(view) {
            return Ok(self.named(format!("{view}.{feature}"), Some(view), feature));
        }
        let manifest = &runtime.checked.manifest;
        if manifest.on_demand(feature).is_some() {
            return Ok(self.named(feature.to_owned(), Some(view), feature));
        }
        let meant = nearest(view, manifest.views.iter().map(|view| view.name.as_str()));
        Err(Refused::not_found(
            "FeatureViewNotFoundException",
            match meant {
                Some(meant) => format!("there is no feature view `{view}`: did you mean `{meant}`?"),
                None => format!("there is no feature view `{view}`, and no on-demand feature `{feature}`"),
            },
        ))
    }

    fn named(&self, reference: String, view: Option<&str>, feature: &str) -> Named {
        let shown = match view {
            Some(view) if self.full_names => format!("{view}__{feature}"),
            _ => feature.to_owned(),
        };
        Named { reference, shown, view: view.map(str::to_owned) }
    }

    /// Key columns, by their own names or by that of their entity, and request values, which Feast sends among them.
    /// What is neither is passed over, as clients send one set of rows for several reads.
    fn columns(
        &self,
        runtime: &Runtime,
        keys: &[(String, DataType)],
        needed: &[(String, DataType)],
    ) -> Result<(Typed, Typed), Refused> {
        let (mut entities, mut request) = (Typed::new(), Typed::new());
        for (name, values) in &self.entities.0 {
            let (key, value) = (type_of(keys, name), type_of(needed, name));
            if let Some((name, data_type)) = value {
                put(&mut request, name, values, data_type)?;
            }
            let key = match (key, value) {
                (None, None) => only_key(runtime, name).and_then(|key| type_of(keys, key)),
                (key, _) => key,
            };
            if let Some((name, data_type)) = key {
                put(&mut entities, name, values, data_type)?;
            }
        }
        let given = |name: &String| request.iter().any(|(own, _)| own == name);
        let missing: Vec<&str> =
            needed.iter().filter(|(name, _)| !given(name)).map(|(name, _)| name.as_str()).collect();
        if missing.is_empty() {
            return Ok((entities, request));
        }
        Err(Refused::not_found(
            "RequestDataNotFoundInEntityRowsException",
            format!("`entities` lacks the request values {}: send one of each per entity", missing.join(", ")),
        ))
    }
}

/// Columns by name.
type Typed = Vec<(String, ArrayRef)>;

fn type_of<'a>(columns: &'a [(String, DataType)], name: &str) -> Option<&'a (String, DataType)> {
    columns.iter().find(|(own, _)| own == name)
}

/// The key column of an entity that has one.
fn only_key<'a>(runtime: &'a Runtime, entity: &str) -> Option<&'a str> {
    match runtime.checked.manifest.entity(entity)?.keys.as_slice() {
        [key] => Some(&key.name),
        _ => None,
    }
}

fn put(columns: &mut Typed, name: &str, values: &RawValue, data_type: &DataType) -> Result<(), Refused> {
    let array =
        column(values, data_type).map_err(|why| Refused::wrong(format!("`entities`, column `{name}`: {why}")))?;
    match columns.iter_mut().find(|(own, _)| own == name) {
        Some(column) => column.1 = array,
        None => columns.push((name.to_owned(), array)),
    }
    Ok(())
}

/// Feast's clients find results by name.
fn check_collisions(names: &[Named], full_names: bool) -> Result<(), Refused> {
    let mut seen = HashSet::with_capacity(names.len());
    let twice: Vec<&str> =
        names.iter().map(|named| named.shown.as_str()).filter(|shown| !seen.insert(*shown)).collect();
    if twice.is_empty() {
        return Ok(());
    }
    let mend = if full_names { "ask for each once" } else { "set `full_feature_names`, or ask for each once" };
    Err(Refused::collision(format!("several features would be called {}: {mend}", twice.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(shown: &str) -> Named {
        Named { reference: format!("v.{shown}"), shown: shown.to_owned(), view: None }
    }

    #[test]
    fn no_two_features_have_one_name() {
        assert!(check_collisions(&[named("a"), named("b")], false).is_ok());
        let error = check_collisions(&[named("a"), named("b"), named("a")], false).unwrap_err();
        assert!(format!("{error:?}").contains("called a: set `full_feature_names`"), "{error:?}");
    }

    #[test]
    fn a_feature_is_shown_by_its_short_or_full_name() {
        let asked = |full: bool| format!("{{\"entities\": {{}}, \"full_feature_names\": {full}}}");
        let (short, full) = (asked(false), asked(true));
        let shown = |text: &str, view| {
            Asked::read(text.as_bytes()).unwrap().named("reference".to_owned(), view, "amount").shown
        };
        assert_eq!(shown(&short, Some("card")), "amount");
        assert_eq!(shown(&full, Some("card")), "card__amount");
        assert_eq!(shown(&full, None), "amount");
    }
}
