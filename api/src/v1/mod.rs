//! The API, version 1: the route table on one screen, and a file for each resource.

pub mod accounts;
pub mod admin_accounts;
pub mod admin_audit;
pub mod admin_keys;
pub mod admin_settings;
pub mod attachments;
pub mod conversations;
pub mod custom_fields;
pub mod desk;
pub mod email_undos;
pub mod identities;
pub mod interaction_batches;
pub mod interactions;
pub mod introspection;
pub mod me;
pub mod merges;
pub mod messenger;
pub mod my_activity;
pub mod my_deletion;
pub mod my_emails;
pub mod my_export;
pub mod my_password;
pub mod my_sessions;
pub mod password_resets;
pub mod pushes;
pub mod ratings;
pub mod reauthentication;
pub mod secrets;
pub mod sessions;
pub mod sign_in_options;
pub mod sign_ups;
pub mod social;
pub mod social_emails;

use utoipa_actix_web::service_config::ServiceConfig;

/// Every route of version 1, and with it the document that describes them.
#[expect(clippy::too_many_lines, reason = "a table, and the whole of it")]
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(sign_in_options::get_sign_in_options)
        .service(sign_ups::ask_for_sign_up)
        .service(sign_ups::inspect_sign_up)
        .service(sign_ups::confirm_sign_up)
        .service(password_resets::ask_for_password_reset)
        .service(password_resets::inspect_password_reset)
        .service(password_resets::confirm_password_reset)
        .service(sessions::sign_in)
        .service(sessions::refresh_session)
        .service(sessions::sign_out)
        .service(social::begin_social_sign_in)
        .service(social::come_back_from_provider)
        .service(social::exchange_social_code)
        .service(social::sign_in_with_provider_token)
        .service(social_emails::give_social_email)
        .service(social_emails::confirm_social_email)
        .service(me::get_me)
        .service(me::change_me)
        .service(custom_fields::list_my_custom_fields)
        .service(my_password::set_my_password)
        .service(reauthentication::reauthenticate)
        .service(reauthentication::ask_for_reauthentication_code)
        .service(reauthentication::begin_reauthentication)
        .service(my_deletion::delete_me)
        .service(my_deletion::confirm_deletion)
        .service(my_activity::list_my_activity)
        .service(my_export::export_me)
        .service(my_sessions::list_my_sessions)
        .service(my_sessions::end_my_other_sessions)
        .service(my_sessions::end_my_session)
        .service(my_emails::list_my_emails)
        .service(my_emails::add_my_email)
        .service(my_emails::verify_my_email)
        .service(my_emails::resend_my_email)
        .service(my_emails::make_my_email_primary)
        .service(my_emails::remove_my_email)
        .service(email_undos::inspect_email_undo)
        .service(email_undos::confirm_email_undo)
        .service(identities::list_my_identities)
        .service(identities::finish_linking)
        .service(messenger::identify_messenger)
        .service(identities::begin_linking)
        .service(identities::unlink_identity)
        .service(merges::ask_to_merge_accounts)
        .service(merges::merge_my_accounts)
        .service(conversations::list_my_conversations)
        .service(conversations::start_conversation)
        .service(conversations::get_my_conversation)
        .service(conversations::list_my_messages)
        .service(conversations::reply_to_conversation)
        .service(conversations::mark_conversation_read)
        .service(conversations::close_conversation)
        .service(conversations::reopen_conversation)
        .service(ratings::rate_conversation)
        .service(interactions::push_interaction)
        .service(interaction_batches::push_interactions)
        .service(desk::list_desk_conversations)
        .service(desk::get_desk_conversation)
        .service(desk::change_desk_conversation)
        .service(desk::list_desk_messages)
        .service(accounts::get_account)
        .service(accounts::change_account)
        .service(custom_fields::list_custom_fields)
        .service(custom_fields::get_custom_field)
        .service(custom_fields::put_custom_field)
        .service(custom_fields::delete_custom_field)
        .service(admin_settings::get_authentication_settings)
        .service(admin_settings::put_authentication_settings)
        .service(admin_accounts::list_people)
        .service(admin_accounts::get_person)
        .service(admin_accounts::disable_person)
        .service(admin_accounts::enable_person)
        .service(admin_accounts::send_reset_to_person)
        .service(admin_accounts::list_sessions_of_person)
        .service(admin_accounts::end_sessions_of_person)
        .service(admin_accounts::remove_identity_of_person)
        .service(admin_audit::list_audit_events)
        .service(admin_keys::list_api_keys)
        .service(admin_keys::create_api_key)
        .service(admin_keys::revoke_api_key)
        .service(introspection::introspect_token);
}

/// A page of a list, with its own name in the document.
macro_rules! pages {
    ($($(#[$doc:meta])* $name:ident of $item:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub struct $name {
            pub items: Vec<$item>,
            /// Send it as `cursor` to get what follows; null at the end.
            pub next_cursor: Option<String>,
        }

        impl<T> From<doorstep_core::page::Page<T>> for $name
        where
            $item: From<T>,
        {
            fn from(page: doorstep_core::page::Page<T>) -> Self {
                Self {
                    next_cursor: page.next.map(doorstep_core::page::Cursor::encode),
                    items: page.items.into_iter().map(Into::into).collect(),
                }
            }
        }
    )*};
}
pub(crate) use pages;
