//! Ada, whose everything is, and Mallory, who wants it; what they are met by, and what an admin may do meanwhile.

use std::sync::LazyLock;

use crate::email::EmailAddress;
use crate::provider::ProviderName;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Person {
    /// The owner.
    Ada,
    /// Who wants to be.
    Mallory,
}

/// What people are met by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Ada,
    AdaAtWork,
    Mallory,
    AdaTweets,
    MalloryTweets,
    AdaGoogle,
    MalloryGoogle,
}

static ADDRESSES: LazyLock<[EmailAddress; 3]> = LazyLock::new(|| {
    ["ada@example.org", "ada@work.example", "mallory@example.com"].map(|text| EmailAddress::parse(text).unwrap())
});

pub static PROVIDERS: LazyLock<[ProviderName; 2]> =
    LazyLock::new(|| ["twitter", "google"].map(|name| name.parse().unwrap()));

impl Key {
    /// Who reads its mail.
    pub const fn reader(self) -> Option<Person> {
        match self {
            Self::Ada | Self::AdaAtWork => Some(Person::Ada),
            Self::Mallory => Some(Person::Mallory),
            Self::AdaTweets | Self::MalloryTweets | Self::AdaGoogle | Self::MalloryGoogle => None,
        }
    }

    /// Who can prove that it is theirs.
    pub const fn owner(self) -> Person {
        match self {
            Self::Ada | Self::AdaAtWork | Self::AdaTweets | Self::AdaGoogle => Person::Ada,
            Self::Mallory | Self::MalloryTweets | Self::MalloryGoogle => Person::Mallory,
        }
    }

    /// The provider it is signed in with.
    pub fn provider(self) -> Option<&'static ProviderName> {
        match self {
            Self::AdaTweets | Self::MalloryTweets => Some(&PROVIDERS[0]),
            Self::AdaGoogle | Self::MalloryGoogle => Some(&PROVIDERS[1]),
            Self::Ada | Self::AdaAtWork | Self::Mallory => None,
        }
    }

    pub fn address(self) -> &'static EmailAddress {
        match self {
            Self::Ada => &ADDRESSES[0],
            Self::AdaAtWork => &ADDRESSES[1],
            Self::Mallory => &ADDRESSES[2],
            Self::AdaTweets | Self::MalloryTweets | Self::AdaGoogle | Self::MalloryGoogle => {
                panic!("no mail goes to a provider's account")
            }
        }
    }
}

/// What an admin may have done to the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Switch {
    PasswordOff,
    KnownOnly,
    /// Ada's domain is blocked.
    BlockAda,
    HoldUnknown,
    SocialOff,
    /// Google's word for an address does not count any more.
    GoogleProvesNothing,
}

/// What a provider says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Nothing,
    /// It counts, by rule 7: the provider is that domain's.
    Proven(Key),
    /// Whatever its user has typed there.
    Hint(Key),
}
