//! What an account's owner wants mail about. The desk sends that mail, and asks here first; what tells of a change to
//! the ways into an account is no choice, and always mailed.

use serde::{Deserialize, Serialize};

use crate::account::Change;

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident = $default:literal;)*) => {
        /// What was chosen; what was not is as it is by default.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct Chosen {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $name: Option<bool>,)*
        }

        /// What holds, chosen or not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Notifications {
            $($(#[$doc])* pub $name: bool,)*
        }

        /// A change of what is chosen; to clear goes back to the default.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct NotificationChange {
            $(pub $name: Change<bool>,)*
        }

        impl Chosen {
            #[must_use]
            pub fn all(self) -> Notifications {
                Notifications { $($name: self.$name.unwrap_or($default),)* }
            }

            /// What was not chosen here is as it was chosen there.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($name: self.$name.or(other.$name),)* }
            }
        }

        impl NotificationChange {
            pub(crate) fn apply(&self, to: &mut Chosen) {
                $(self.$name.apply(&mut to.$name);)*
            }

            /// The names of what it touches.
            pub(crate) fn fields(&self) -> Vec<&'static str> {
                let fields = [$((concat!("notifications.", stringify!($name)), self.$name.is_change()),)*];
                fields.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
            }
        }
    };
}

choices! {
    /// An agent has answered one of their conversations.
    conversation_replies = true;
    /// Support asks how it was.
    rating_requests = true;
    /// News that nobody waits for: only to who asked for it.
    announcements = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_chosen_is_as_it_is_by_default_and_is_not_kept() {
        let mut chosen = Chosen::default();
        let by_default = Notifications { conversation_replies: true, rating_requests: true, announcements: false };
        assert_eq!(chosen.all(), by_default);
        assert_eq!(serde_json::to_string(&chosen).unwrap(), "{}");
        let off = NotificationChange { conversation_replies: Change::Set(false), ..NotificationChange::default() };
        assert_eq!(off.fields(), ["notifications.conversation_replies"]);
        off.apply(&mut chosen);
        assert!(!chosen.all().conversation_replies);
        assert_eq!(serde_json::to_string(&chosen).unwrap(), r#"{"conversation_replies":false}"#);
        NotificationChange { conversation_replies: Change::Clear, ..off }.apply(&mut chosen);
        assert_eq!(chosen, Chosen::default());
    }

    #[test]
    fn of_two_the_first_chooses() {
        let first = Chosen { conversation_replies: Some(false), ..Chosen::default() };
        let second = Chosen { conversation_replies: Some(true), announcements: Some(true), ..Chosen::default() };
        let all = first.or(second).all();
        assert_eq!((all.conversation_replies, all.announcements), (false, true));
    }
}
