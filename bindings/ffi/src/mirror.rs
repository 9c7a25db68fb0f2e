//! The core's types in forms that every language has.

use std::{collections::HashMap, path::PathBuf};
use uuid::Uuid;

/// From the core outwards.
pub(crate) trait Out<T> {
    fn out(self) -> T;
}

macro_rules! same {
    ($($type:ty),*) => {$(
        impl Out<$type> for $type {
            fn out(self) -> $type {
                self
            }
        }
    )*};
}

same!((), bool, i64, f64, String);

/// Counts never come near the limit.
macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl Out<i64> for $type {
            fn out(self) -> i64 {
                i64::try_from(self).unwrap_or(i64::MAX)
            }
        }
    )*};
}

whole_numbers!(u64, u32, usize);

impl<T> Out<Self> for HashMap<String, T> {
    fn out(self) -> Self {
        self
    }
}

impl Out<String> for Uuid {
    fn out(self) -> String {
        self.to_string()
    }
}

impl Out<String> for &str {
    fn out(self) -> String {
        self.to_owned()
    }
}

impl Out<String> for PathBuf {
    fn out(self) -> String {
        self.to_string_lossy().into_owned()
    }
}

impl Out<String> for serde_json::Value {
    fn out(self) -> String {
        self.to_string()
    }
}

impl<A: Out<B>, B> Out<Option<B>> for Option<A> {
    fn out(self) -> Option<B> {
        self.map(Out::out)
    }
}

impl<A: Out<B>, B> Out<Vec<B>> for Vec<A> {
    fn out(self) -> Vec<B> {
        self.into_iter().map(Out::out).collect()
    }
}

/// A record with the fields that the core's type has, or some of them.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $name:ident from $core:ty {
            $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, uniffi::Record)]
        #[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::mirror::Out<$name> for $core {
            fn out(self) -> $name {
                $name {
                    $($field: $crate::mirror::Out::out(self.$field),)*
                }
            }
        }
    };
}

/// An enum of names, as the core's.
macro_rules! names {
    (
        $(#[$meta:meta])*
        $name:ident from $core:ty {
            $($(#[$variant_meta:meta])* $variant:ident),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
        #[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $crate::mirror::Out<$name> for $core {
            fn out(self) -> $name {
                type Core = $core;
                match self {
                    $(Core::$variant => $name::$variant,)*
                }
            }
        }

        impl From<$name> for $core {
            fn from(name: $name) -> Self {
                match name {
                    $($name::$variant => Self::$variant,)*
                }
            }
        }
    };
}

pub(crate) use {names, record};
