//! Files of messages, as they are answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A file of a message; the help desk keeps it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "fire.jpg", "content_type": "image/jpeg", "size": 52133, "url": "https://desk.shop.example/files/1"
}))]
pub struct Attachment {
    pub name: String,
    pub content_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Where the help desk gives it, if it said so.
    pub url: Option<String>,
}

/// The files of a message as they are stored.
pub fn of(stored: Value) -> Vec<Attachment> {
    serde_json::from_value(stored).unwrap_or_else(|error| {
        tracing::error!(%error, "stored attachments cannot be read");
        Vec::new()
    })
}
