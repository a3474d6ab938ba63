//! Closed sets of names that are resources of the template: tables, queues, functions.

/// Declares an enum whose variants are resources of `template.yaml`: the list of all variants, their names, and their
/// logical ids (the variant with a suffix). A new name is one line.
#[macro_export]
macro_rules! names {
    (
        $(#[$about:meta])*
        pub enum $Enum:ident, a $Suffix:literal {
            $($(#[$doc:meta])* $Variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Enum {
            $($(#[$doc])* $Variant,)+
        }

        impl $Enum {
            /// All of them.
            pub const ALL: [Self; [$(Self::$Variant),+].len()] = [$(Self::$Variant),+];

            /// The name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// The logical id of its resource in the template.
            pub fn resource(self) -> &'static str {
                match self {
                    $(Self::$Variant => concat!(stringify!($Variant), $Suffix),)+
                }
            }
        }
    };
}
