//! Russian. Words come with `е` for `ё`.

use super::sentence::{Sentence, is_letter, numerals};
use super::{MAY_GO_ON, OPEN, OVER};

const FILLERS: &[&str] = &[
    "э",
    "ээ",
    "эээ",
    "эм",
    "эмм",
    "м",
    "мм",
    "ммм",
    "ну",
    "значит",
    "короче",
    "типа",
    "например",
    "скажем",
    "допустим",
];
const FILLER_PHRASES: &[&str] = &[
    "как бы",
    "как его",
    "это самое",
    "в общем",
    "то есть",
    "так сказать",
    "дело в том",
    "вопрос такой",
    "такой вопрос",
];

/// Somebody who says this comes back.
const WAITING: &[&str] = &[
    "секунду",
    "секундочку",
    "минуту",
    "минутку",
    "минуточку",
    "подождите",
    "погодите",
    "сейчас посмотрю",
    "сейчас гляну",
    "сейчас скажу",
    "дайте подумать",
    "дайте вспомнить",
    "дайте посмотреть",
    "сейчас проверю",
];

/// Conjunctions, prepositions and words that belong to the next one.
const DANGLING: &[&str] = &[
    "и",
    "а",
    "но",
    "или",
    "либо",
    "чтобы",
    "чтоб",
    "если",
    "пока",
    "хотя",
    "поскольку",
    "который",
    "которая",
    "которое",
    "которые",
    "которого",
    "которую",
    "ни",
    "в",
    "во",
    "на",
    "с",
    "со",
    "к",
    "ко",
    "о",
    "об",
    "обо",
    "от",
    "из",
    "у",
    "за",
    "для",
    "по",
    "до",
    "без",
    "при",
    "про",
    "через",
    "между",
    "под",
    "над",
    "перед",
    "около",
    "кроме",
    "вместо",
    "насчет",
    "ради",
    "возле",
    "мои",
    "моего",
    "моей",
    "моих",
    "мою",
    "моем",
    "ваш",
    "ваша",
    "ваше",
    "вашу",
    "вашего",
    "вашей",
    "нашу",
    "нашего",
    "нашей",
    "свой",
    "свою",
    "своего",
    "этот",
    "эту",
    "очень",
    "самый",
    "самая",
    "более",
    "слишком",
    "каждый",
    "только",
    "даже",
    "бы",
    "ли",
    "тоже",
];

/// Begin a clause, unless they are the whole question (`а когда`).
const ASKS: &[&str] = &[
    "что",
    "как",
    "когда",
    "где",
    "куда",
    "почему",
    "сколько",
    "какой",
    "какая",
    "какие",
    "кто",
];
/// What may stand before a question of one word.
const BEFORE_ASKING: &[&str] = &[
    "а",
    "и",
    "это",
    "ну",
    "до",
    "вы",
    "ты",
    "кто",
    "вот",
    "да",
    "не",
    "знаю",
    "обычно",
];

const UNITS: &[&str] = &[
    "ноль",
    "один",
    "одна",
    "два",
    "две",
    "три",
    "четыре",
    "пять",
    "шесть",
    "семь",
    "восемь",
    "девять",
];
const TENS: &[&str] = &[
    "десять",
    "двадцать",
    "тридцать",
    "сорок",
    "пятьдесят",
    "шестьдесят",
    "семьдесят",
    "восемьдесят",
    "девяносто",
];
const TEENS: &[&str] = &[
    "одиннадцать",
    "двенадцать",
    "тринадцать",
    "четырнадцать",
    "пятнадцать",
    "шестнадцать",
    "семнадцать",
    "восемнадцать",
    "девятнадцать",
];
const HUNDREDS: &[&str] = &[
    "сто",
    "двести",
    "триста",
    "четыреста",
    "пятьсот",
    "шестьсот",
    "семьсот",
    "восемьсот",
    "девятьсот",
];

const OVER_AT_END: &[&str] = &[
    "спасибо",
    "пожалуйста",
    "до свидания",
    "всего доброго",
    "это все",
    "спасибо большое",
    "больше ничего",
];
const ANSWERS: &[&str] = &[
    "да",
    "нет",
    "хорошо",
    "ладно",
    "конечно",
    "верно",
    "точно",
    "можно",
    "ага",
    "угу",
];

pub(super) fn end_of_turn(sentence: &Sentence) -> Option<f32> {
    let last = sentence.last()?;
    if FILLERS.contains(&last) || sentence.ends_with_any(FILLER_PHRASES) || sentence.ends_with_any(WAITING) {
        return Some(OPEN);
    }
    if dangles(sentence, last) {
        return Some(OPEN);
    }
    if number_goes_on(sentence) || spelling_goes_on(sentence) {
        return Some(MAY_GO_ON);
    }
    let is_answer = sentence.len() == 1 && ANSWERS.contains(&last);
    let asks =
        ASKS.contains(&sentence.first()) || ["есть", "можно", "зачем", "чей"].contains(&sentence.first());
    let is_question = sentence.is_question() || (asks && sentence.len() >= 3);
    (is_answer || is_question || sentence.ends_with_any(OVER_AT_END)).then_some(OVER)
}

fn dangles(sentence: &Sentence, last: &str) -> bool {
    let before = sentence.before_last();
    if ASKS.contains(&last) {
        return sentence.len() > 2 || (!BEFORE_ASKING.contains(&before) && sentence.len() > 1);
    }
    match last {
        // `Это мой` is over, `это мой телефон` was not.
        "мой" | "моя" | "мое" | "наш" | "наша" => before != "это" && before != "не",
        "не" => !["еще", "пока", "или", "почему"].contains(&before),
        "это" => !["что", "кто", "как", "где"].contains(&before),
        "после" => !["а", "и", "потом", "сразу"].contains(&before),
        "потом" => ["а", "и"].contains(&before),
        "то" => before == "а" || before == "если",
        "я" | "мы" | "он" | "она" | "они" => {
            ["что", "когда", "если", "потому", "могу", "и", "а", "но", "ли"].contains(&before)
                || sentence.len() == 1
        }
        "вы" => ["если", "что", "когда"].contains(&before),
        "хочу" | "могу" | "хотим" | "можем" => {
            !["не", "как", "да", "если", "чем"].contains(&before)
        }
        "хотел" | "хотела" | "хотелось" | "могли" | "собираюсь" | "планирую" | "буду" | "будет" => {
            before != "не" && !sentence.is_question()
        }
        "нужно" | "надо" | "нужен" | "нужна" | "нужны" => {
            ["мне", "нам", "ему", "ей"].contains(&before)
        }
        "можно" => ["а", "мне", "нам", "ли"].contains(&before),
        "зовут" => sentence.first() != "как" && !sentence.has_any(&["вас", "тебя"]),
        "называется" | "находится" => !sentence.has_any(&["как", "где", "что"]),
        "адрес" | "телефон" | "номер" | "фамилия" | "дом" | "улица" | "улицу" | "квартира" => {
            ["мой", "моя", "наш", "ленина"].contains(&before)
                || ["дом", "улица", "улицу", "квартира"].contains(&last)
        }
        _ => DANGLING.contains(&last),
    }
}

/// How many digits the numbers say: `восемь девятьсот двадцать шесть` are four.
fn digits(words: &[String]) -> Option<usize> {
    let mut digits = 0;
    // Places that the last number leaves to the next one: two after a hundred, one after a ten.
    let mut open = 0;
    for word in words {
        let word = word.as_str();
        let (length, leaves) = if let Some(count) = numerals(word) {
            open = 0;
            (count, 0)
        } else if HUNDREDS.contains(&word) {
            open = 0;
            (3, 2)
        } else if TEENS.contains(&word) || word == "десять" {
            (2, 0)
        } else if TENS.contains(&word) {
            (2, 1)
        } else if UNITS.contains(&word) {
            (1, 0)
        } else {
            return None;
        };
        if length > open {
            digits += length;
        }
        open = leaves;
    }
    Some(digits)
}

fn is_number(word: &str) -> bool {
    numerals(word).is_some()
        || [UNITS, TENS, TEENS, HUNDREDS]
            .iter()
            .any(|all| all.contains(&word))
}

/// Digits at the end that are fewer than what they belong to has.
fn number_goes_on(sentence: &Sentence) -> bool {
    let run = sentence.run_at_end(is_number);
    let Some(digits) = digits(sentence.tail(run)).filter(|_| run > 0) else {
        return false;
    };
    if sentence.has_any(&["карта", "карты"]) {
        return digits < 16;
    }
    if sentence.has_any(&["индекс"]) {
        return digits < 6;
    }
    if sentence.has_any(&["заказа", "код", "договора", "счета", "цифры", "брони", "заявки"])
    {
        return digits < 4;
    }
    if sentence.has_any(&["номер", "телефон", "мобильный", "перезвоните"]) {
        return digits < 10;
    }
    run == sentence.len() && matches!(digits, 3 | 5..=9)
}

fn spelling_goes_on(sentence: &Sentence) -> bool {
    let letters = sentence.run_at_end(is_letter);
    letters >= 2 || (sentence.before_last() == "как" && is_letter(sentence.word_from_end(2)))
}
