use super::*;

fn own(numbers: &[&str]) -> Vec<NumberPrefix> {
    numbers.iter().map(|prefix| prefix.parse().unwrap()).collect()
}

fn policy(special: &[&str]) -> Policy {
    Policy::new(Targets {
        numbers: ["+1", "+49", "+44"].map(|prefix| prefix.parse().unwrap()).into(),
        sip_hosts: vec!["pbx.example.com".into(), "10.0.0.9:5070".into()],
        special: special.iter().map(ToString::to_string).collect(),
    })
}

fn verdict(text: &str) -> Result<Target, TargetError> {
    policy(&[]).check(text, &[])
}

#[test]
fn listed_numbers_and_hosts_are_dialled_as_they_are_meant() {
    for (text, uri) in [
        ("+14155552671", "tel:+14155552671"),
        (" +49 (30) 123-456.7 ", "tel:+49301234567"),
        ("TEL:+14155552671", "tel:+14155552671"),
        ("sip:alice@pbx.example.com", "sip:alice@pbx.example.com"),
        ("SIP:2001@PBX.example.com", "sip:2001@pbx.example.com"),
        ("sip:2001@10.0.0.9:5070", "sip:2001@10.0.0.9:5070"),
        (
            "sip:+14155552671@pbx.example.com",
            "sip:+14155552671@pbx.example.com",
        ),
    ] {
        assert_eq!(
            verdict(text).map(|target| target.uri()).as_deref(),
            Ok(uri),
            "{text}"
        );
    }
}

#[test]
fn a_number_is_counted_as_one_however_it_is_written_and_names_are_counted_apart() {
    let counted = |text: &str| verdict(text).unwrap().as_str().to_owned();
    let number = counted("+14155552671");
    for written in [
        "sip:+14155552671@pbx.example.com",
        "sip:+1-415-555.2671@pbx.example.com",
    ] {
        assert_eq!(counted(written), number, "{written}");
    }
    let alice = counted("sip:alice@pbx.example.com");
    assert_eq!(counted("sip:ALICE@pbx.example.com"), alice);
    for other in [
        "sip:al_ice@pbx.example.com",
        "sip:al.ice@pbx.example.com",
        "sip:alice@10.0.0.9:5070",
    ] {
        assert_ne!(counted(other), alice, "{other}");
    }
}

#[test]
fn emergency_numbers_are_refused_in_every_dress() {
    for text in [
        "112",
        "911",
        "999",
        "000",
        "110",
        "119",
        "101",
        "102",
        "103",
        "104",
        "+112",
        "+911",
        "+1911",
        "+49112",
        "+44999",
        "9911",
        "0112",
        "00112",
        "1-1-2",
        "tel:911",
        "tel:9-1-1",
        "sip:911@pbx.example.com",
        "sip:9-1-1@pbx.example.com",
        "sip:+1911@pbx.example.com",
        "sip:112@evil.example.com",
        "9.1.1",
        "(911)",
    ] {
        assert_eq!(verdict(text), Err(TargetError::Emergency), "{text}");
    }
}

#[test]
fn premium_numbers_are_refused_although_their_country_is_listed() {
    for text in [
        "+19005551234",
        "+1 976 555 1234",
        "+49190123456",
        "+49 900 1234567",
        "+491371234567",
        "+449011234567",
        "tel:+19005551234",
        "sip:+19005551234@pbx.example.com",
        "sip:0190123456@pbx.example.com",
        "sip:0900123456@pbx.example.com",
        "sip:0049900123456@pbx.example.com",
        "sip:01119005551234@pbx.example.com",
        "sip:19005551234@pbx.example.com",
        "sip:+1_900_555_1234@pbx.example.com",
        "sip:1_900_555_1234@pbx.example.com",
        "+4911833",
    ] {
        assert_eq!(verdict(text), Err(TargetError::Premium), "{text}");
    }
}

#[test]
fn what_is_not_listed_is_refused() {
    for text in [
        "+33123456789",
        "+8613800138000",
        "sip:alice@evil.example.com",
        "sip:alice@pbx.example.com.evil.com",
        "sip:2001@10.0.0.9",
        "sip:alice@pbx.example.com:5061",
        // Numbers, whatever leads to them.
        "sip:+33123456789@pbx.example.com",
        "sip:+33.12-34.56789@pbx.example.com",
        "sip:0033123456789@pbx.example.com",
        "sip:4155552671@pbx.example.com",
        "sip:415_555_2671@pbx.example.com",
        // Islands, which are not what a listed +1 means.
        "+18095551234",
        "+1 876 555 1234",
        "sip:+12425551234@pbx.example.com",
    ] {
        assert_eq!(verdict(text), Err(TargetError::NotListed), "{text}");
    }
}

#[test]
fn what_could_carry_another_number_is_no_target() {
    let long = format!("+1{}", "5".repeat(300));
    for text in [
        "",
        "+",
        "abc",
        "4155552671",
        "+0044123456789",
        "+1415555267100000",
        "+1415555٢٦٧١",
        "tel:",
        "sip:",
        "sip:@h",
        "sip:alice",
        "sip:alice@",
        "sips:alice@pbx.example.com",
        "http://pbx.example.com",
        "sip:9%311@pbx.example.com",
        "sip:alice@pbx.example.com;maddr=10.0.0.1",
        "sip:alice@pbx.example.com?Route=x",
        "sip:a@b@pbx.example.com",
        "sip:alice;phone-context=+1@pbx.example.com",
        "+1415555\r\nVia: x",
        "tel:+14155552671;ext=911",
        "sip:9+14155552671@pbx.example.com",
        "sip:++14155552671@pbx.example.com",
        "sip:+alice@pbx.example.com",
        "sip:a+14155552671@pbx.example.com",
        "sip:-_.@pbx.example.com",
        &long,
    ] {
        assert_eq!(verdict(text), Err(TargetError::Invalid), "{text:?}");
    }
}

#[test]
fn a_callers_own_list_narrows_the_list() {
    let narrow = own(&["+1415"]);
    assert!(policy(&[]).check("+14155552671", &narrow).is_ok());
    assert_eq!(
        policy(&[]).check("+12125552671", &narrow),
        Err(TargetError::NotListedForCaller)
    );
    assert!(policy(&[]).check("sip:2001@pbx.example.com", &narrow).is_ok());
    assert_eq!(
        policy(&[]).check("sip:+12125552671@pbx.example.com", &narrow),
        Err(TargetError::NotListedForCaller)
    );
    assert_eq!(
        policy(&[]).check("+33123456789", &own(&["+33"])),
        Err(TargetError::NotListed)
    );
}

#[test]
fn an_island_is_listed_by_its_own_area_code() {
    let targets = Targets {
        numbers: own(&["+1", "+1876", "+1809555"]),
        ..Targets::default()
    };
    let policy = Policy::new(targets);
    for text in ["+18765551234", "+18095551234"] {
        assert!(policy.check(text, &[]).is_ok(), "{text}");
    }
    for text in ["+18094441234", "+12425551234"] {
        assert_eq!(policy.check(text, &[]), Err(TargetError::NotListed), "{text}");
    }
}

#[test]
fn special_numbers_are_allowed_one_by_one() {
    let policy = policy(&["112", "+1900555", "0301234567"]);
    assert!(policy.check("sip:0301234567@pbx.example.com", &[]).is_ok());
    assert!(policy.check("112", &[]).is_ok());
    assert!(policy.check("+19005551234", &[]).is_ok());
    assert_eq!(policy.check("911", &[]), Err(TargetError::Emergency));
    assert_eq!(policy.check("+19006661234", &[]), Err(TargetError::Premium));
}

#[test]
fn debug_shows_no_number() {
    assert_eq!(format!("{:?}", verdict("+14155552671")), "Ok(Number(redacted))");
}
