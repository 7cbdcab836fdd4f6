//! The rules by name.
//!
//! Names, and the pages that explain them, are those of BuildKit's build checks, so that a `# check=` directive means
//! the same to both.

/// A build check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`description` says what each rule is about")]
pub enum Rule {
    ConsistentInstructionCasing,
    CopyIgnoredFile,
    DuplicateStageName,
    ExposeInvalidFormat,
    ExposeProtoCasing,
    FromAsCasing,
    FromPlatformFlagConstDisallowed,
    InvalidBaseImagePlatform,
    InvalidDefaultArgInFrom,
    InvalidDefinitionDescription,
    JSONArgsRecommended,
    LegacyKeyValueFormat,
    MaintainerDeprecated,
    MultipleInstructionsDisallowed,
    NoEmptyContinuation,
    RedundantTargetPlatform,
    ReservedStageName,
    SecretsUsedInArgOrEnv,
    StageNameCasing,
    UndefinedArgInFrom,
    UndefinedVar,
    WorkdirRelativePath,
}

impl Rule {
    /// All rules, by name.
    pub const ALL: [Self; 22] = [
        Self::ConsistentInstructionCasing,
        Self::CopyIgnoredFile,
        Self::DuplicateStageName,
        Self::ExposeInvalidFormat,
        Self::ExposeProtoCasing,
        Self::FromAsCasing,
        Self::FromPlatformFlagConstDisallowed,
        Self::InvalidBaseImagePlatform,
        Self::InvalidDefaultArgInFrom,
        Self::InvalidDefinitionDescription,
        Self::JSONArgsRecommended,
        Self::LegacyKeyValueFormat,
        Self::MaintainerDeprecated,
        Self::MultipleInstructionsDisallowed,
        Self::NoEmptyContinuation,
        Self::RedundantTargetPlatform,
        Self::ReservedStageName,
        Self::SecretsUsedInArgOrEnv,
        Self::StageNameCasing,
        Self::UndefinedArgInFrom,
        Self::UndefinedVar,
        Self::WorkdirRelativePath,
    ];

    /// The rule called `name`; case counts, as it does for BuildKit.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// The name that `# check=skip=` takes.
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// What the rule asks for, in one sentence.
    pub fn description(self) -> &'static str {
        self.texts().1
    }

    /// The page that explains the rule, where there is one.
    pub fn url(self) -> Option<String> {
        let page = self.texts().2;
        (!page.is_empty()).then(|| format!("https://docs.docker.com/go/dockerfile/rule/{page}/"))
    }

    /// Whether the rule is only applied where it is asked for by name, or with `experimental=all`.
    pub fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }

    /// Name, description and the last part of the page's address.
    #[expect(clippy::too_many_lines, reason = "a table, one row a rule")]
    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ConsistentInstructionCasing => (
                "ConsistentInstructionCasing",
                "instruction names are all upper case or all lower case",
                "consistent-instruction-casing",
            ),
            Self::CopyIgnoredFile => {
                ("CopyIgnoredFile", "COPY and ADD name no file that the ignore file leaves out", "copy-ignored-file")
            }
            Self::DuplicateStageName => {
                ("DuplicateStageName", "no two stages have the same name", "duplicate-stage-name")
            }
            Self::ExposeInvalidFormat => {
                ("ExposeInvalidFormat", "EXPOSE names ports only, no address and no host port", "expose-invalid-format")
            }
            Self::ExposeProtoCasing => {
                ("ExposeProtoCasing", "the protocol after a port is lower case", "expose-proto-casing")
            }
            Self::FromAsCasing => ("FromAsCasing", "AS has the case of its FROM", "from-as-casing"),
            Self::FromPlatformFlagConstDisallowed => (
                "FromPlatformFlagConstDisallowed",
                "FROM --platform holds a variable, or the stage is named after its platform",
                "from-platform-flag-const-disallowed",
            ),
            Self::InvalidBaseImagePlatform => {
                ("InvalidBaseImagePlatform", "a base image is for the platform that is built for", "")
            }
            Self::InvalidDefaultArgInFrom => (
                "InvalidDefaultArgInFrom",
                "FROM names an image without any --build-arg too",
                "invalid-default-arg-in-from",
            ),
            Self::InvalidDefinitionDescription => (
                "InvalidDefinitionDescription",
                "a comment right above ARG or FROM … AS begins with the name that it describes",
                "invalid-definition-description",
            ),
            Self::JSONArgsRecommended => (
                "JSONArgsRecommended",
                "CMD and ENTRYPOINT have the JSON form, so that signals reach the program and not a shell",
                "json-args-recommended",
            ),
            Self::LegacyKeyValueFormat => {
                ("LegacyKeyValueFormat", "ENV and LABEL have `=` between key and value", "legacy-key-value-format")
            }
            Self::MaintainerDeprecated => {
                ("MaintainerDeprecated", "a label names the author, not MAINTAINER", "maintainer-deprecated")
            }
            Self::MultipleInstructionsDisallowed => (
                "MultipleInstructionsDisallowed",
                "a stage has one CMD, one ENTRYPOINT and one HEALTHCHECK: only the last has an effect",
                "multiple-instructions-disallowed",
            ),
            Self::NoEmptyContinuation => {
                ("NoEmptyContinuation", "no blank line stands in a continued instruction", "no-empty-continuation")
            }
            Self::RedundantTargetPlatform => (
                "RedundantTargetPlatform",
                "FROM does not ask for $TARGETPLATFORM, which it gets anyway",
                "redundant-target-platform",
            ),
            Self::ReservedStageName => {
                ("ReservedStageName", "no stage is called scratch or context", "reserved-stage-name")
            }
            Self::SecretsUsedInArgOrEnv => {
                ("SecretsUsedInArgOrEnv", "ARG and ENV hold no secrets", "secrets-used-in-arg-or-env")
            }
            Self::StageNameCasing => ("StageNameCasing", "stage names are lower case", "stage-name-casing"),
            Self::UndefinedArgInFrom => {
                ("UndefinedArgInFrom", "FROM uses only arguments that are declared above it", "undefined-arg-in-from")
            }
            Self::UndefinedVar => ("UndefinedVar", "variables are set before they are used", "undefined-var"),
            Self::WorkdirRelativePath => (
                "WorkdirRelativePath",
                "the first WORKDIR of a stage is absolute, so that it does not depend on the base image",
                "workdir-relative-path",
            ),
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
