//! What is said where the profile has no words of its own.

pub(super) struct Sentences {
    pub(super) fallback: &'static str,
    pub(super) goodbye: &'static str,
    pub(super) bridge: &'static str,
    pub(super) hold: &'static str,
    pub(super) away_goodbye: &'static str,
    pub(super) time_up: &'static str,
    pub(super) transfer: &'static str,
}

/// Russian for `ru`, else English.
pub(super) fn sentences(language: &str) -> Sentences {
    let primary = language.split('-').next().unwrap_or_default();
    if primary.eq_ignore_ascii_case("ru") {
        Sentences {
            fallback: "Извините, я вас не расслышал. Повторите, пожалуйста.",
            goodbye: "Извините, у нас неполадки. Перезвоните позже. До свидания.",
            bridge: "Извините, связь прервалась. Я снова с вами. Повторите, пожалуйста.",
            hold: "Одну минуту, пожалуйста.",
            away_goodbye: "Я вас не слышу. Перезвоните, пожалуйста. До свидания.",
            time_up: "Извините, время разговора истекло. До свидания.",
            transfer: "Извините, у нас неполадки. Соединяю вас с сотрудником.",
        }
    } else {
        Sentences {
            fallback: "Sorry, I did not get that. Could you say it again?",
            goodbye: "Sorry, we have technical problems. Please call again later. Goodbye.",
            bridge: "Sorry, I was cut off for a moment. I am back now. Could you say that again?",
            hold: "One moment, please.",
            away_goodbye: "I cannot hear you. Please call again. Goodbye.",
            time_up: "Sorry, we have reached the end of the time for this call. Goodbye.",
            transfer: "Sorry, we have technical problems. I am putting you through to somebody.",
        }
    }
}
