//! The OpenAPI document: the route table's own words, and what follows from them.
//!
//! Contract: above its handler an operation tells only what is peculiar to it. That a token may be missing, a path lead nowhere, a body be
//! too large, is told here of every operation that takes one, so that the document says every answer the service gives.

use actix_web::App as ActixApp;
use utoipa::OpenApi;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AdditionalProperties, Components, Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, Required};
use utoipa_actix_web::AppExt;

use super::problem::PROBLEM;
use super::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rowlock",
        description = "Order placement for restaurants and small merchants. Amounts are decimal strings in yuan (CNY), times are RFC 3339. \
            Errors are `application/problem+json` with a stable `code`.",
    ),
    tags(
        (name = "customers", description = "What a mini-program calls for a customer"),
        (name = "staff", description = "What the restaurant's panel calls for its staff"),
        (name = "gateways", description = "What payment gateways call"),
        (name = "operations", description = "What an operator's machines call"),
    ),
)]
struct Head;

/// The OpenAPI document of the route table.
pub fn openapi() -> Document {
    let (_, mut document) = ActixApp::new().into_utoipa_app().openapi(head()).configure(routes).split_for_parts();
    for item in document.paths.paths.values_mut() {
        operations(item).for_each(complete);
    }
    if let Some(components) = &mut document.components {
        components.responses.extend(
            PROBLEMS
                .iter()
                .map(|(status, name, words)| (name.to_string(), RefOr::T(with_headers(status, problem(words))))),
        );
        close_variants(components);
    }
    document
}

fn head() -> Document {
    let mut document = Head::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("customer", SecurityScheme::Http(bearer.clone()));
    components.add_security_scheme("staff", SecurityScheme::Http(bearer));
    document
}

/// The problems that operations have in common: the status, the name they are referred to by, and the codes.
const PROBLEMS: [(&str, &str, &str); 11] = [
    (
        "400",
        "Malformed",
        "`malformed_body`, `malformed_query`, `idempotency_key_missing`, `idempotency_key_malformed`, `bad_request`",
    ),
    ("401", "Unauthenticated", "`unauthenticated`, `token_expired`: log in"),
    ("403", "NotPermitted", "`wrong_merchant`; of the staff also `forbidden`, with the `permission` that is missing"),
    ("404", "NotFound", "`not_found`: there is none, or it is somebody else's"),
    ("408", "TooSlow", "`body_too_slow`: the body did not arrive in time"),
    ("413", "TooLarge", "`body_too_large`"),
    ("415", "NotTheType", "`not_json`, `not_csv`: declare the body as what it is, and do not compress it"),
    ("422", "NotAcceptable", "`invalid_field`: names the `field`, and says what it may be"),
    ("429", "TooMany", "`too_many_requests`: not before `Retry-After`"),
    ("500", "Fault", "`internal`: a fault of the service's, which is in its log under the `request_id`"),
    (
        "503",
        "Unavailable",
        "`unavailable`: repeat it; of what changes something also `outcome_unknown`: it may have taken effect, so repeat it with the same `Idempotency-Key` where it takes one, and look first where it does not",
    ),
];

/// Adds the answers that follow from what an operation takes, to those of the same status that it tells itself.
fn complete(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "Idempotency-Key"
        {
            parameter.schema = Some(key().into());
        }
    }
    let is = |place: ParameterIn, required: bool| {
        let is_there = |parameter: &&Parameter| {
            parameter.parameter_in == place && (!required || parameter.required == Required::True)
        };
        let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        });
        parameters.filter(is_there).count() > 0
    };
    let (has_path, has_query) = (is(ParameterIn::Path, false), is(ParameterIn::Query, false));
    let has_header = is(ParameterIn::Header, false);
    let (has_body, has_token) = (operation.request_body.is_some(), operation.security.is_some());
    let follows = |status: &str| match status {
        "400" => has_body || has_query || has_header,
        "401" | "403" | "429" => has_token,
        "408" | "413" | "415" => has_body,
        "422" => has_body || has_query,
        // Routes without a parameter in their path are the operator's: they say themselves what they answer.
        "404" | "500" | "503" => has_path,
        _ => false,
    };
    // Notices of gateways are answered for those, who know what to do.
    let is_notice = operation.tags.iter().flatten().any(|tag| tag == "gateways");
    let answers = &mut operation.responses.responses;
    for (status, name, words) in PROBLEMS.iter().filter(|(status, ..)| follows(status)) {
        let common = || RefOr::Ref(Ref::from_response_name(*name));
        if let RefOr::T(own) = answers.entry((*status).to_owned()).or_insert_with(common) {
            let codes = words.split_once(':').map_or(*words, |(codes, _)| codes);
            if own.content.contains_key(PROBLEM) && !is_notice && !own.description.contains(codes) {
                own.description.push_str("; ");
                own.description.push_str(words);
            }
        }
    }
    for (status, answer) in answers.iter_mut() {
        if let RefOr::T(answer) = answer {
            *answer = with_headers(status, answer.clone());
        }
    }
}

/// See [`crate::domain::placement::IdempotencyKey`].
fn key() -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]+$"));
    text.min_length(Some(1)).max_length(Some(128)).build()
}

fn problem(words: &str) -> Response {
    let view = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(words).content(PROBLEM, view).build()
}

/// The headers that an answer of this status has.
fn with_headers(status: &str, mut answer: Response) -> Response {
    let text = || ObjectBuilder::new().schema_type(Type::String).build();
    let is_problem = answer.content.contains_key(PROBLEM);
    let mut add = |name: &str, words: &str, schema: Object| {
        let header: Header = HeaderBuilder::new().schema(Some(schema)).description(Some(words)).build();
        answer.headers.insert(name.to_owned(), header.into());
    };
    add("X-Request-Id", "The one that was sent, where it is fit for a log, or one made up", text());
    match status {
        _ if !is_problem => {}
        "401" => add("WWW-Authenticate", "How to log in", text()),
        "429" | "503" => {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
            add("Retry-After", "When to come back, in seconds", seconds.build());
        }
        _ => {}
    }
    answer
}

/// Says of the variants of a request what is true of every request: it has no fields but these. The derive says it of structs alone.
fn close_variants(components: &mut Components) {
    let Some(RefOr::T(Schema::OneOf(request))) = components.schemas.get_mut("FulfilmentRequest") else { return };
    for variant in &mut request.items {
        if let RefOr::T(Schema::Object(variant)) = variant {
            variant.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, patch, delete, .. } = item;
    [get, put, post, patch, delete].into_iter().flatten()
}
