//! Why a file or a question is refused, by the names of FORMAT.md.

use core::fmt;

macro_rules! named {
    ($(#[$about:meta])* $kind:ident { $($variant:ident $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind { $(#[doc = $name] $variant,)* }

        impl $kind {
            /// All of them, in order.
            pub const ALL: &'static [$kind] = &[$($kind::$variant,)*];

            /// The name in FORMAT.md.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str(self.name())
            }
        }

        impl core::error::Error for $kind {}
    };
}

named! {
    /// The rule that a file breaks (FORMAT.md §2, §3 and §5). The metadata is not taken apart here, so the three
    /// rules about its text are not among them.
    FileError {
        FileTooShort "file-too-short",
        HeaderTooLarge "header-too-large",
        HeaderTooLong "header-too-long",
        DataAlignment "data-alignment",
        MetadataEntry "metadata-entry",
        FormatVersion "format-version",
        HeaderForm "header-form",
        TensorDtype "tensor-dtype",
        TensorShape "tensor-shape",
        TensorOffsets "tensor-offsets",
        TensorSize "tensor-size",
        DataTooShort "data-too-short",
        DataTooLong "data-too-long",
        TensorUnknown "tensor-unknown",
        TensorOrder "tensor-order",
        TensorMissing "tensor-missing",
        TensorType "tensor-type",
        WordForm "word-form",
        NameForm "name-form",
        NameRepeated "name-repeated",
        AssetCount "asset-count",
        AxisCount "axis-count",
        AxisOrder "axis-order",
        BoxForm "box-form",
        ReferencePrice "reference-price",
        LifeTime "life-time",
        LotSize "lot-size",
        RegimeCount "regime-count",
        FlowCount "flow-count",
        FlowSide "flow-side",
        FlowSize "flow-size",
        FlowAsset "flow-asset",
        FlowRepeated "flow-repeated",
        ParameterCount "parameter-count",
        TableShape "table-shape",
        HoldForm "hold-form",
        BoundForm "bound-form",
        InfiniteNumber "infinite-number",
        ValueMissing "value-missing",
        ContentHash "content-hash",
    }
}

named! {
    /// Why a question has no answer (FORMAT.md §6), or a moment no prices (§9).
    Refusal {
        NotANumber "not-a-number",
        OutsideBox "outside-box",
        BetweenNodes "between-nodes",
        UnknownRegime "unknown-regime",
        WrongCoordinates "wrong-coordinates",
        WrongSymbol "wrong-symbol",
        WrongTick "wrong-tick",
        TooEarly "too-early",
        Expired "expired",
        OutsidePriceBox "outside-price-box",
        CrossedMarket "crossed-market",
        CrossedQuotes "crossed-quotes",
    }
}

named! {
    /// Why a signature is not accepted (PUBLISHING.md).
    SignatureError {
        SignatureMissing "signature-missing",
        SignatureForm "signature-form",
        SignatureKey "signature-key",
        SignatureWrong "signature-wrong",
    }
}

impl Refusal {
    /// Its number in FORMAT.md, from 1.
    pub const fn number(self) -> i64 {
        self as i64 + 1
    }
}
