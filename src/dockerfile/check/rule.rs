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
        match self {
            Self::ConsistentInstructionCasing => "ConsistentInstructionCasing",
            Self::CopyIgnoredFile => "CopyIgnoredFile",
            Self::DuplicateStageName => "DuplicateStageName",
            Self::ExposeInvalidFormat => "ExposeInvalidFormat",
            Self::ExposeProtoCasing => "ExposeProtoCasing",
            Self::FromAsCasing => "FromAsCasing",
            Self::FromPlatformFlagConstDisallowed => "FromPlatformFlagConstDisallowed",
            Self::InvalidBaseImagePlatform => "InvalidBaseImagePlatform",
            Self::InvalidDefaultArgInFrom => "InvalidDefaultArgInFrom",
            Self::InvalidDefinitionDescription => "InvalidDefinitionDescription",
            Self::JSONArgsRecommended => "JSONArgsRecommended",
            Self::LegacyKeyValueFormat => "LegacyKeyValueFormat",
            Self::MaintainerDeprecated => "MaintainerDeprecated",
            Self::MultipleInstructionsDisallowed => "MultipleInstructionsDisallowed",
            Self::NoEmptyContinuation => "NoEmptyContinuation",
            Self::RedundantTargetPlatform => "RedundantTargetPlatform",
            Self::ReservedStageName => "ReservedStageName",
            Self::SecretsUsedInArgOrEnv => "SecretsUsedInArgOrEnv",
            Self::StageNameCasing => "StageNameCasing",
            Self::UndefinedArgInFrom => "UndefinedArgInFrom",
            Self::UndefinedVar => "UndefinedVar",
            Self::WorkdirRelativePath => "WorkdirRelativePath",
        }
    }

    /// What the rule asks for, in one sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::ConsistentInstructionCasing => "instruction names are all upper case or all lower case",
            Self::CopyIgnoredFile => "COPY and ADD name no file that the ignore file leaves out",
            Self::DuplicateStageName => "no two stages have the same name",
            Self::ExposeInvalidFormat => "EXPOSE names ports only, no address and no host port",
            Self::ExposeProtoCasing => "the protocol after a port is lower case",
            Self::FromAsCasing => "AS has the case of its FROM",
            Self::FromPlatformFlagConstDisallowed => {
                "FROM --platform holds a variable, or the stage is named after its platform"
            }
            Self::InvalidBaseImagePlatform => "a base image is for the platform that is built for",
            Self::InvalidDefaultArgInFrom => "FROM names an image without any --build-arg too",
            Self::InvalidDefinitionDescription => {
                "a comment right above ARG or FROM … AS begins with the name that it describes"
            }
            Self::JSONArgsRecommended => {
                "CMD and ENTRYPOINT have the JSON form, so that signals reach the program and not a shell"
            }
            Self::LegacyKeyValueFormat => "ENV and LABEL have `=` between key and value",
            Self::MaintainerDeprecated => "a label names the author, not MAINTAINER",
            Self::MultipleInstructionsDisallowed => {
                "a stage has one CMD, one ENTRYPOINT and one HEALTHCHECK: only the last has an effect"
            }
            Self::NoEmptyContinuation => "no blank line stands in a continued instruction",
            Self::RedundantTargetPlatform => "FROM does not ask for $TARGETPLATFORM, which it gets anyway",
            Self::ReservedStageName => "no stage is called scratch or context",
            Self::SecretsUsedInArgOrEnv => "ARG and ENV hold no secrets",
            Self::StageNameCasing => "stage names are lower case",
            Self::UndefinedArgInFrom => "FROM uses only arguments that are declared above it",
            Self::UndefinedVar => "variables are set before they are used",
            Self::WorkdirRelativePath => {
                "the first WORKDIR of a stage is absolute, so that it does not depend on the base image"
            }
        }
    }

    /// The page that explains the rule, where there is one.
    pub fn url(self) -> Option<String> {
        let has_page = self != Self::InvalidBaseImagePlatform;
        has_page.then(|| format!("https://docs.docker.com/go/dockerfile/rule/{}/", words(self.name()).join("-")))
    }

    /// Whether the rule is only applied where it is asked for by name, or with `experimental=all`.
    pub fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }
}

/// The words of a name in lower case; capitals in a row are one word, without the last where it begins the next.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    for (position, letter) in letters.iter().enumerate() {
        let is_lower = |at: Option<usize>| at.and_then(|at| letters.get(at)).is_some_and(char::is_ascii_lowercase);
        let begins = letter.is_ascii_uppercase() && (is_lower(position.checked_sub(1)) || is_lower(Some(position + 1)));
        match words.last_mut() {
            Some(word) if !begins => word.push(letter.to_ascii_lowercase()),
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }
    words
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
