//! One message for each case of RFC 4475 ("torture test messages"), with the fault or the oddity that its section describes.

use super::*;

/// What comes of a message.
#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    Call,
    Answer(u16),
    Nothing,
}
use Reaction::{Answer, Call, Nothing};

struct Case {
    /// The RFC's name for it, and its section.
    name: &'static str,
    section: &'static str,
    reaction: Reaction,
    /// Why it is not what the RFC asks for; empty where it is.
    differs: &'static str,
    text: &'static str,
}

const fn case(
    name: &'static str,
    section: &'static str,
    reaction: Reaction,
    differs: &'static str,
    text: &'static str,
) -> Case {
    Case {
        name,
        section,
        reaction,
        differs,
        text,
    }
}

const UNREADABLE: &str =
    "400 is asked for; what cannot be read to its end is dropped and counted, whoever sent it";
const NO_REGISTRAR: &str = "the fault is a registrar's to see, and there is none here";

/// `{via}`: a hop that wants its answer where the message came from. `{id}`: From, To, Call-ID, Max-Forwards. `{long}`: 200 letters.
const CASES: [Case; 49] = [
    case(
        "wsinv",
        "3.1.1.1",
        Nothing,
        "481 is asked for; the stack below reads no white space within `;tag=`, and drops what has no tag",
        "INVITE sip:100@h;unknownparam SIP/2.0\nTO :\n sip:100@h ;   tag    = 19n\nfrom   : \"J \\\\\\\"\"       <sip:a@h>\n  ;\n  tag = 98a\n\
         MaX-fOrWaRdS: 0068\nCall-ID: {name}@h\nContent-Length   : 0\ncseq: 0009\n  INVITE\nVia  : {via}\nSubject :\n\
         NewFangledHeader:   newfangled value\n continued newfangled value\nUnknownHeaderWithUnusualValue: ;;,,;;,;\n\
         Route:\n <sip:services.h;lr;unknownwith=value;unknown-no-value>\nv:  SIP  / 2.0  / TCP     spindle.h   ;\n  branch  =   z9hG4bK9ikj8  ,\n \
         SIP  /    2.0   / UDP  192.168.255.111   ; branch=\n z9hG4bK30239\nm:\"Quoted string \\\"\\\"\" <sip:a@h> ; newparam =\n      newvalue ;\n  secondparam ; q = 0.33\n\n",
    ),
    case(
        "intmeth",
        "3.1.1.2",
        Nothing,
        "405 is asked for; control characters are dropped, even escaped within quotes: what ends a line to one reader does not to another",
        "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@h SIP/2.0\n\
         Via: {via}\nTo: \"BEL:\\\x07 NUL:\\\x20 DEL:\\x\" <sip:1_unusual.URI~(to-be!sure)@h>\nFrom: token1~` token2'+_ token3*%!.- <sip:mundane@h>;fromParam''~+*_!.-%=\"\u{440}\u{430}\";tag=_token~1'+`*%!-.\n\
         Call-ID: {name}.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\nCSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\nMax-Forwards: 255\nextensionHeader-!.%*+_`'~:\u{fe0f}\u{5927}\n\n",
    ),
    case(
        "esc01",
        "3.1.1.3",
        Call,
        "",
        "INVITE sip:sips%3Auser%40h@example.net SIP/2.0\nVia: {via}\n{id}CSeq: 1 INVITE\nContact: <sip:cal%6Cer@{me};%6C%72;n%61me=v%61lue%25%34%31>\n\n",
    ),
    case(
        "escnull",
        "3.1.1.4",
        Answer(405),
        "",
        "REGISTER sip:h SIP/2.0\nVia: {via}\nTo: sip:null-%00-null@h\nFrom: sip:null-%00-null@h;tag=1\nMax-Forwards: 70\nCall-ID: {name}\nCSeq: 1 REGISTER\nContact: <sip:%00@{me}>\nContact: <sip:%00%00@{me}>\n\n",
    ),
    case(
        "esc02",
        "3.1.1.5",
        Answer(405),
        "",
        "RE%47IST%45R sip:h SIP/2.0\nVia: {via}\n{id}CSeq: 29344 RE%47IST%45R\nContact: <sip:alias1@{me}>\nContact: <sip:alias2@{me}>\n\n",
    ),
    case(
        "lwsdisp",
        "3.1.1.6",
        Answer(200),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\nTo: sip:100@h\nFrom: caller<sip:caller@h>;tag=323\nMax-Forwards: 70\nCall-ID: {name}\nCSeq: 60 OPTIONS\nl: 0\n\n",
    ),
    case(
        "longreq",
        "3.1.1.7",
        Call,
        "",
        "INVITE sip:100@h SIP/2.0\nVia: {via};long={long}\nTo: \"I have a user name of {long} proportion\" <sip:100@h:6000;unknownparam1={long};longparam{long}=shortvalue>\n\
         F: sip:{short}@h;tag={long};unknownheaderparam{long}=x;unknownvalueless{long}\nCall-ID: {name}.{long}\nCSeq: 3882340 INVITE\n\
         Unknown-{long}-Name: unknown-{long}-value; unknown-{long}-parameter-name=v\nMax-Forwards: 70\nVia: SIP/2.0/TCP sip33.h\nv: SIP/2.0/TCP sip32.h\nV: SIP/2.0/TCP {long}.h;branch=z9hG4bK{long}\n\
         v: SIP/2.0/TCP sip30.h, SIP/2.0/TCP sip29.h, SIP/2.0/TCP sip28.h\nContact: <sip:{long}@{me}>\n\n",
    ),
    case(
        "dblreq",
        "3.1.1.8",
        Answer(405),
        "",
        "REGISTER sip:h SIP/2.0\nVia: {via}\n{id}CSeq: 8 REGISTER\nContact: sip:j@{me}\nContent-Length: 0\n\n\
         INVITE sip:100@h SIP/2.0\nVia: {via2}\nTo: sip:j@h\nFrom: sip:c@h;tag=141\nMax-Forwards: 70\nCall-ID: {name}.2\nCSeq: 8 INVITE\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "semiuri",
        "3.1.1.9",
        Answer(200),
        "",
        "OPTIONS sip:user;par=u%40example.net@h SIP/2.0\nVia: {via}\n{id}CSeq: 8 OPTIONS\nAccept: application/sdp\nl: 0\n\n",
    ),
    case(
        "transports",
        "3.1.1.10",
        Answer(200),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\nVia: SIP/2.0/SCTP t2.h;branch=z9hG4bK2\nVia: SIP/2.0/TLS t3.h;branch=z9hG4bK3\nVia: SIP/2.0/UNKNOWN t4.h;branch=z9hG4bK4\nVia: SIP/2.0/TCP t5.h;branch=z9hG4bK5\n{id}CSeq: 60 OPTIONS\nl: 0\n\n",
    ),
    case(
        "mpart01",
        "3.1.1.11",
        Answer(405),
        "",
        "MESSAGE sip:k@h SIP/2.0\nVia: {via}\n{id}CSeq: 1 MESSAGE\nContent-Type: multipart/signed; boundary=b\nContent-Length: 30\n\n--b\n\n\0\x01\x02\x03\x7f binary \n--b--\n\n",
    ),
    case(
        "unreason",
        "3.1.1.12",
        Nothing,
        "",
        "SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e} \u{441}\u{442}\u{43e}\nVia: {via}\n{id}CSeq: 35 INVITE\nContact: <sip:u@h>\n\n",
    ),
    case(
        "noreason",
        "3.1.1.13",
        Nothing,
        "",
        "SIP/2.0 100 \nVia: {via}\n{id}CSeq: 35 INVITE\nl: 0\n\n",
    ),
    case(
        "badinv01",
        "3.1.2.1",
        Call,
        "400 is asked for; surplus separators hide neither who calls nor where the answer goes",
        "INVITE sip:100@h SIP/2.0\nTo: sip:j@h\nFrom: sip:c@h;tag=13\nMax-Forwards: 7\nCall-ID: {name}\nCSeq: 8 INVITE\nVia: {via};;,;,,\nContact: \"Joe\" <sip:joe@{me}>;;;;\n\n",
    ),
    case(
        "clerr",
        "3.1.2.2",
        Answer(400),
        "",
        "INVITE sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 8 INVITE\nContact: <sip:c@{me}>\nContent-Type: application/sdp\nContent-Length: 9999\n\nv=0\n",
    ),
    case(
        "ncl",
        "3.1.2.3",
        Nothing,
        UNREADABLE,
        "INVITE sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 8 INVITE\nContact: <sip:c@{me}>\nContent-Length: -999\n\nv=0\n",
    ),
    case(
        "scalar02",
        "3.1.2.4",
        Nothing,
        UNREADABLE,
        "REGISTER sip:h SIP/2.0\nVia: {via}\nTo: <sip:u@h>\nFrom: <sip:u@h>;tag=2\nCall-ID: {name}\nCSeq: 36893488147419103232 REGISTER\nMax-Forwards: 300\nExpires: 10000000000000000000000000\nContact: <sip:u@{me}>;expires=280297596632815\n\n",
    ),
    case(
        "scalarlg",
        "3.1.2.5",
        Nothing,
        "",
        "SIP/2.0 503 Service Unavailable\nVia: {via}\n{id}CSeq: 9292394834772304023312 OPTIONS\nRetry-After: 949302838503028349304023988\nWarning: 1812000 overture \"In Progress\"\nl: 0\n\n",
    ),
    case(
        "quotbal",
        "3.1.2.6",
        Answer(400),
        "",
        "INVITE sip:100@h SIP/2.0\nVia: {via}\nTo: \"Mr. J. User <sip:j@h>\nFrom: sip:c@h;tag=93334\nMax-Forwards: 10\nCall-ID: {name}\nCSeq: 8 INVITE\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "ltgtruri",
        "3.1.2.7",
        Call,
        "",
        "INVITE <sip:100@h> SIP/2.0\nVia: {via}\n{id}CSeq: 1 INVITE\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "lwsruri",
        "3.1.2.8",
        Nothing,
        UNREADABLE,
        "INVITE sip:100@h; lr SIP/2.0\nVia: {via}\n{id}CSeq: 1 INVITE\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "lwsstart",
        "3.1.2.9",
        Nothing,
        UNREADABLE,
        "INVITE  sip:100@h  SIP/2.0\nVia: {via}\n{id}CSeq: 1 INVITE\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "trws",
        "3.1.2.10",
        Nothing,
        UNREADABLE,
        "OPTIONS sip:100@h SIP/2.0  \nVia: {via}\n{id}CSeq: 1 OPTIONS\nl: 0\n\n",
    ),
    case(
        "escruri",
        "3.1.2.11",
        Call,
        "",
        "INVITE sip:100@h?Route=%3Csip:h%3E SIP/2.0\nVia: {via}\n{id}CSeq: 1 INVITE\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "baddate",
        "3.1.2.12",
        Call,
        "",
        "INVITE sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 1 INVITE\nDate: Fri, 01 Jan 2010 16:00:00 EST\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "regbadct",
        "3.1.2.13",
        Answer(405),
        NO_REGISTRAR,
        "REGISTER sip:h SIP/2.0\nVia: {via}\n{id}CSeq: 1 REGISTER\nContact: sip:u@h?Route=%3Csip:h%3E\nl: 0\n\n",
    ),
    case(
        "badaspec",
        "3.1.2.14",
        Answer(200),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\nFrom: \"Bell, A\" <sip:a@h>;tag=43\nTo: \"Watson, T\" < sip:t@h >\nCall-ID: {name}\nMax-Forwards: 70\nCSeq: 3923239 OPTIONS\nl: 0\n\n",
    ),
    case(
        "baddn",
        "3.1.2.15",
        Answer(200),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\nFrom: Bell, Alexander <sip:a@h>;tag=43\nTo: Watson, Thomas <sip:t@h>\nCall-ID: {name}\nMax-Forwards: 70\nCSeq: 31417 OPTIONS\nl: 0\n\n",
    ),
    case(
        "badvers",
        "3.1.2.16",
        Nothing,
        "505 is asked for; there is no other version, and what claims to be one is dropped",
        "OPTIONS sip:100@h SIP/7.0\nVia: SIP/7.0/UDP {me};branch=z9hG4bK{name};rport\n{id}CSeq: 1 OPTIONS\nl: 0\n\n",
    ),
    case(
        "mismatch01",
        "3.1.2.17",
        Answer(400),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 8 INVITE\nl: 0\n\n",
    ),
    case(
        "mismatch02",
        "3.1.2.18",
        Answer(400),
        "",
        "NEWMETHOD sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 8 INVITE\nContact: <sip:c@{me}>\nl: 0\n\n",
    ),
    case(
        "bigcode",
        "3.1.2.19",
        Nothing,
        "",
        "SIP/2.0 4294967301 better not break the receiver\nVia: {via}\n{id}CSeq: 353494 INVITE\nContact: <sip:u@h>\nl: 0\n\n",
    ),
    case(
        "badbranch",
        "3.2.1",
        Answer(200),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: SIP/2.0/UDP {me};branch=z9hG4bK;rport\n{id}CSeq: 8 OPTIONS\nl: 0\n\n",
    ),
    case(
        "insuf",
        "3.3.1",
        Nothing,
        "400 is asked for; without From, To and Call-ID no answer could be made that finds its request",
        "INVITE sip:100@h SIP/2.0\nCSeq: 193942 INVITE\nVia: {via}\nContent-Type: application/sdp\nl: 3\n\nv=0",
    ),
    case(
        "unkscm",
        "3.3.2",
        Answer(200),
        "416 is asked for; OPTIONS asks whether we are there, and an INVITE to such a URI gets 400",
        "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0\nVia: {via}\n{id}CSeq: 3923423 OPTIONS\nl: 0\n\n",
    ),
    case(
        "novelsc",
        "3.3.3",
        Answer(200),
        "the same",
        "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0\nVia: {via}\n{id}CSeq: 3923 OPTIONS\nl: 0\n\n",
    ),
    case(
        "unksm2",
        "3.3.4",
        Answer(405),
        NO_REGISTRAR,
        "REGISTER sip:h SIP/2.0\nVia: {via}\nTo: isbn:2983792873\nFrom: <http://www.example.com>;tag=3234233\nCall-ID: {name}\nMax-Forwards: 70\nCSeq: 234902 REGISTER\nContact: <name:John_Smith>\nl: 0\n\n",
    ),
    case(
        "bext01",
        "3.3.5",
        Answer(420),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 8 OPTIONS\nRequire: nothingSupportsThis, nothingSupportsThisEither\nProxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis\nl: 0\n\n",
    ),
    case(
        "invut",
        "3.3.6",
        Call,
        "415 is asked for; bodies are not this layer's, and who answers the call refuses what is no SDP with 400",
        "INVITE sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 235448 INVITE\nContact: <sip:c@{me}>\nContent-Type: application/unknownformat\nContent-Length: 9\n\n<audio/>\n",
    ),
    case(
        "regaut01",
        "3.3.7",
        Answer(405),
        NO_REGISTRAR,
        "REGISTER sip:h SIP/2.0\nVia: {via}\n{id}CSeq: 9338 REGISTER\nAuthorization: NoOneKnowsThisScheme opaque-data=here\nl: 0\n\n",
    ),
    case(
        "multi01",
        "3.3.8",
        Nothing,
        "400 is asked for; of two Call-IDs neither is the one to answer with",
        "INVITE sip:100@h SIP/2.0\nVia: {via}\nCSeq: 5 INVITE\nCSeq: 59 INVITE\nCall-ID: {name}.1\nCall-ID: {name}.2\nFrom: sip:c@h;tag=3\nFrom: sip:d@h;tag=4\nTo: sip:100@h\nTo: sip:101@h\nMax-Forwards: 70\nMax-Forwards: 5\nContact: <sip:c@{me}>\n\n",
    ),
    case(
        "mcl01",
        "3.3.9",
        Answer(400),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 59 OPTIONS\nContent-Length: 13\nContent-Length: 5\nContent-Type: text/plain\n\nThere's no way to know how many octets are supposed to be here.\n",
    ),
    case(
        "bcast",
        "3.3.10",
        Nothing,
        "",
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\n{id}CSeq: 35 INVITE\nContact: <sip:u@h>\nl: 0\n\n",
    ),
    case(
        "zeromf",
        "3.3.11",
        Answer(200),
        "",
        "OPTIONS sip:100@h SIP/2.0\nVia: {via}\nTo: sip:100@h\nFrom: sip:c@h;tag=3\nCall-ID: {name}\nCSeq: 39234321 OPTIONS\nMax-Forwards: 0\nl: 0\n\n",
    ),
    case(
        "cparam01",
        "3.3.12",
        Answer(405),
        NO_REGISTRAR,
        "REGISTER sip:h SIP/2.0\nVia: {via}\n{id}CSeq: 79 REGISTER\nContact: sip:+19725552222@{me};unknownparam\nl: 0\n\n",
    ),
    case(
        "cparam02",
        "3.3.13",
        Answer(405),
        NO_REGISTRAR,
        "REGISTER sip:h SIP/2.0\nVia: {via}\n{id}CSeq: 79 REGISTER\nContact: <sip:+19725552222@{me};unknownparam>\nl: 0\n\n",
    ),
    case(
        "regescrt",
        "3.3.14",
        Answer(405),
        NO_REGISTRAR,
        "REGISTER sip:h SIP/2.0\nVia: {via}\n{id}CSeq: 14398234 REGISTER\nContact: <sip:user@{me}?Route=%3Csip:h%3E>\nl: 0\n\n",
    ),
    case(
        "sdp01",
        "3.3.15",
        Call,
        "406 may be sent for its Accept; whoever calls with SDP is taken to read SDP",
        "INVITE sip:100@h SIP/2.0\nVia: {via}\n{id}CSeq: 5 INVITE\nContact: <sip:c@{me}>\nAccept: text/nobodyKnowsThis\nContent-Type: application/sdp\nContent-Length: 3\n\nv=0",
    ),
    case(
        "inv2543",
        "3.4.1",
        Nothing,
        "may be served; without branch and tag no transaction is told from another, and the stack below drops it",
        "INVITE sip:100@h SIP/2.0\nVia: SIP/2.0/UDP {me};rport\nFrom: <sip:iuser@h>\nTo: \"User\" <sip:100@h>\nCall-ID: {name}\nCSeq: 1 INVITE\nSubject: An RFC 2543 INVITE\nContact: <sip:c@{me}>\n\n",
    ),
];

/// After it nothing more is expected.
const QUIET: Duration = Duration::from_millis(200);

fn message(case: &Case, me: SocketAddr) -> Vec<u8> {
    let (name, long) = (case.name, "l".repeat(200));
    let id = "To: <sip:100@h>\nFrom: <sip:1@h>;tag=t{name}\nCall-ID: {name}\nMax-Forwards: 70\n";
    let text = case
        .text
        .replace("{via2}", "SIP/2.0/UDP {me};branch=z9hG4bKsecond-{name};rport")
        .replace("{via}", "SIP/2.0/UDP {me};branch=z9hG4bK{name};rport")
        .replace("{id}", id)
        .replace("{name}", name)
        .replace("{me}", &me.to_string())
        .replace("{long}", &long)
        .replace("{short}", &"s".repeat(100));
    text.replace('\n', "\r\n").into_bytes()
}

/// What comes of it, and the text of the answer.
async fn reaction(stack: &mut RsipStack, peer: &mut Peer, case: &Case) -> (Reaction, String) {
    peer.send_bytes(&message(case, peer.local_addr()), stack.local_addr())
        .await;
    let is_its = |message: &str| message.contains(&format!("\r\nCall-ID: {}", case.name));
    let is_final = |message: &str| !message.starts_with("SIP/2.0 1");
    // The socket is read in order, and what is refused at once is answered before this.
    let marker = format!("after-{}", case.name);
    peer.request("OPTIONS", &marker, "").await;
    let (mut answer, mut alive) = (None, false);
    let deadline = Instant::now() + QUIET;
    loop {
        let next = async {
            tokio::select! {
                call = stack.next_call() => Err(call.expect("the stack runs")),
                message = peer.find(|_| true) => Ok(message),
            }
        };
        let wait = if alive { deadline } else { Instant::now() + SOON };
        match tokio::time::timeout_at(wait, next).await {
            Ok(Err(call)) => {
                assert!(
                    call.invite.call_id.starts_with(case.name),
                    "a call of {}",
                    call.invite.call_id
                );
                call.control.reject(Rejection::code(486)).await.expect("open");
                let answer = peer.find(|message| is_its(message) && is_final(message)).await;
                peer.ack_refusal(case.name, &answer).await;
                return (Call, answer);
            }
            Ok(Ok(message)) if is_its(&message) && is_final(&message) => answer = Some(message),
            Ok(Ok(message)) => alive |= message.contains(&marker) && message.starts_with("SIP/2.0 200"),
            Err(_) => break,
        }
        if alive && answer.is_some() {
            break;
        }
    }
    assert!(alive, "no answer after {}", case.name);
    let Some(answer) = answer else {
        return (Nothing, String::new());
    };
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (Answer(code.expect("a code")), answer)
}

#[tokio::test]
async fn the_torture_messages_of_rfc_4475_get_what_it_asks_for_or_a_reasoned_answer() {
    let mut stack = start_with(100, SHORT_T1, 1_000).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let mut wrong = Vec::new();
    for case in &CASES {
        let (reaction, answer) = reaction(&mut stack, &mut peer, case).await;
        if reaction != case.reaction {
            wrong.push(format!(
                "{} (§{}): {reaction:?} for {:?}",
                case.name, case.section, case.reaction
            ));
        }
        match case.name {
            "bext01" => assert!(
                answer.contains("Unsupported: nothingSupportsThis, nothingSupportsThisEither"),
                "{answer}"
            ),
            // What follows the first message in a datagram is no message (RFC 3261 §18.3).
            "dblreq" => assert!(!answer.contains("second"), "{answer}"),
            _ => {}
        }
    }
    let differ: Vec<_> = CASES.iter().filter(|case| !case.differs.is_empty()).collect();
    println!(
        "{} messages; {} otherwise than RFC 4475 asks for:",
        CASES.len(),
        differ.len()
    );
    for case in differ {
        println!(
            "  {} (§{}): {:?}; {}",
            case.name, case.section, case.reaction, case.differs
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    until_drained(&stack).await;
    stack.shutdown().await;
}

/// The calls that were refused hold nothing once they are given up.
async fn until_drained(stack: &RsipStack) {
    let deadline = Instant::now() + SOON;
    while stack.stats().transactions + stack.stats().unacknowledged > 0 {
        assert!(Instant::now() < deadline, "{:?}", stack.stats());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // INVITEs that the stack could not read still count as ringing: they are forgotten when the next one comes.
    let left = stack.stats();
    assert_eq!((left.calls, left.dialogs), (0, 0), "{left:?}");
}
