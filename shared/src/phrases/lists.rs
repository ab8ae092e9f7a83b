//! The lists themselves: phrases divided by commas.

use std::sync::LazyLock;

use super::indian;

/// Phrases of one kind, each as its words.
pub(super) type Phrases = LazyLock<Vec<Vec<&'static str>>>;

fn phrases(list: &'static str) -> Vec<Vec<&'static str>> {
    list.split(',').map(|phrase| phrase.split_whitespace().collect()).collect()
}

/// English and Hindi, and the others.
fn with(others: &'static str, list: &'static str) -> Vec<Vec<&'static str>> {
    let mut all = phrases(list);
    all.extend(phrases(others));
    all
}

/// Spoken while the other one talks, to say "I am listening". Never a reason to stop. Phrases are matched greedily.
pub(super) static ACKNOWLEDGEMENTS: Phrases = LazyLock::new(|| {
    with(
        indian::ACKNOWLEDGEMENTS,
        "hmm, hm, hmmm, mm, mmm, mhm, mm hmm, mmhmm, uh huh, uhhuh, uh, um, umm, ah, oh, yeah, yep, yup, yes, ok, okay, \
     okey, right, alright, all right, sure, fine, great, nice, good, cool, i see, got it, go on, go ahead, of \
     course, correct, true, haan, han, haa, ha, haanji, haan ji, ji, jee, ji haan, achha, accha, acha, achcha, \
     theek, thik, theek hai, thik hai, teek hai, sahi, sahi hai, bilkul, hai na, हाँ, हां, हा, जी, जी हाँ, जी हां, \
     हाँ जी, हां जी, अच्छा, ठीक, ठीक है, हम्म, हूँ, सही, सही है, बिल्कुल, ओके",
    )
});

/// Said to stop the other one. Enough on their own, even where the VAD heard nothing.
pub(super) static INTERRUPTIONS: Phrases = LazyLock::new(|| {
    with(
        indian::INTERRUPTIONS,
        "stop, wait, hold on, hang on, one minute, one second, one moment, just a minute, just a second, listen, excuse \
     me, no, not interested, wrong number, who is this, ruko, rukiye, rukho, suno, suniye, ek minute, ek minat, ek \
     second, ek min, bas, nahi, nahin, nai, mat karo, chup, रुको, रुकिए, सुनो, सुनिए, एक मिनट, एक सेकंड, बस, नहीं, \
     नही, मत",
    )
});

/// Said on picking up, and again over a greeting.
pub(super) static GREETINGS: Phrases = LazyLock::new(|| {
    with(
        indian::GREETINGS,
        "hello, hi, hey, halo, namaste, namaskar, good morning, good afternoon, good evening, हेलो, हैलो, नमस्ते, \
     नमस्कार",
    )
});

/// Asked and said on picking up, before the caller has said who they are.
pub(super) static OPENERS: Phrases = LazyLock::new(|| {
    phrases(
        "speaking, who is this, who's this, who is it, who is calling, who's calling, who is speaking, who are you, \
     kaun, kaun hai, kaun bol raha hai, kaun bol rahi hai, kaun bol rahe hain, kaun bol rahe ho, aap kaun, \
     कौन, कौन है, कौन बोल रहा है, कौन बोल रही है, कौन बोल रहे हैं, आप कौन",
    )
});

/// Whole answers that need no more waiting.
pub(super) static CLOSED_ANSWERS: Phrases = LazyLock::new(|| {
    with(
        indian::CLOSED_ANSWERS,
        "yes, yeah, yep, yup, no, nope, nah, sure, ok, okay, fine, correct, right, exactly, speaking, hello, hi, hey, \
     bye, goodbye, thanks, thank you, not interested, not now, please, sir, madam, mam, ma'am, of course, i am, it \
     is, this is, i do, i don't, haan, han, ji, jee, nahi, nahin, nai, achha, accha, acha, theek hai, thik hai, \
     bilkul, namaste, boliye, bolo, हाँ, हां, जी, नहीं, नही, ठीक है, अच्छा, बिल्कुल, नमस्ते, बोलिए, बोलो, हेलो, \
     हैलो",
    )
});

/// A turn that ends in one of these has not ended.
pub(super) static OPEN_ENDINGS: Phrases = LazyLock::new(|| {
    phrases(
        "um, umm, uh, uhh, er, err, hmm, like, so, and, but, or, because, cause, if, when, with, for, the, a, an, my, \
     our, your, is, are, was, to, of, in, at, on, from, that, which, i, we, i'm, it's, maybe, around, about, \
     between, under, near, then, also, actually, basically, well, let me see, let me think, matlab, woh, wo, toh, \
     aur, lekin, magar, kyunki, kyonki, agar, ki, ke, ka, mein, mera, meri, hamara, ya, और, लेकिन, मगर, क्योंकि, \
     अगर, तो, मतलब, वो, कि, की, के, का, में, मेरा, मेरी, या",
    )
});

/// A question with one of these asks for something that people say in pieces.
pub(super) static PIECEWISE_QUESTIONS: Phrases = LazyLock::new(|| {
    with(
        indian::PIECEWISE_QUESTIONS,
        "number, phone, mobile, whatsapp, email, e mail, mail id, address, pin code, pincode, spell, date, what day, \
     which day, what time, when would, when can, kab, tareekh, tarikh, samay, नंबर, ईमेल, पता, कब, तारीख, किस दिन, \
     समय",
    )
});

/// What only machines speak of.
pub(super) static VOICEMAIL_CUES: Phrases = LazyLock::new(|| {
    with(
        indian::VOICEMAIL_CUES,
        "after the tone, after the beep, at the tone, at the beep, record your message, voicemail, voice mail, mailbox, \
     mail box, voice message system, answering machine, beep ke baad, tone ke baad, sandesh record, बीप के बाद, टोन के \
     बाद, संदेश रिकॉर्ड",
    )
});

/// What machines ask for, and whoever answers another one's phone.
pub(super) static MESSAGE_WISHES: Phrases = LazyLock::new(|| {
    phrases(
        "leave your message, leave a message, leave me a message, leave your name, sandesh chhoden, sandesh chhodein, \
     sandesh chhod, apna sandesh, संदेश छोड़ें, संदेश छोड़े, अपना संदेश",
    )
});

/// What the owner of the phone has recorded about themselves.
pub(super) static VOICEMAIL_SIGNS: Phrases = LazyLock::new(|| {
    phrases(
        "you've reached, you have reached, can't come to the phone, cannot come to the phone, unable to come to the \
     phone, unable to take your call, not available to take your call, can't take your call, cannot take your call, \
     get back to you, call you back as soon as, call has been forwarded",
    )
});

/// What machines say of somebody, and people too.
pub(super) static ABSENCES: Phrases = LazyLock::new(|| {
    phrases("is not available, currently unavailable, your name and number, name and number, उपलब्ध नहीं, uplabdh nahi")
});

/// Of whom the network speaks. Nobody else calls anybody so.
pub(super) static ANNOUNCEMENT_SUBJECTS: Phrases = LazyLock::new(|| {
    with(
        indian::ANNOUNCEMENT_SUBJECTS,
        "number you are, number you have, number you've, number you dialled, number you dialed, subscriber you are, \
     subscriber you have, subscriber you've, person you are calling, person you are trying, person you are speaking, person \
     you have called, person you have dialled, customer you are, customer you have, party you are, jis number, jis vyakti, \
     jis upbhokta, जिस नंबर, जिस नम्बर, जिस व्यक्ति, जिस उपभोक्ता, जिस ग्राहक, उपभोक्ता से संपर्क, जिन्हें आप",
    )
});

/// What the network says of them.
pub(super) static ANNOUNCEMENT_STATES: Phrases = LazyLock::new(|| {
    with(
        indian::ANNOUNCEMENT_STATES,
        "switched off, not reachable, unreachable, out of coverage, out of network, coverage area, does not exist, not \
     in service, out of service, not in use, check the number, on another call, busy on another, is busy, currently \
     unavailable, currently not available, not available at the moment, not responding, not answering, try again later, try \
     after some time, call after some time, call again later, dial again later, incoming calls, switch off hai, pahunch se \
     bahar, pahunch ke bahar, vyast hai, seva mein nahi, thodi der baad, uttar nahi de, jawab nahi de, स्विच ऑफ, बंद है, \
     पहुँच के बाहर, पहुंच के बाहर, पहुँच से बाहर, पहुंच से बाहर, व्यस्त है, व्यस्त हैं, सेवा में नहीं, मौजूद नहीं, उपलब्ध नहीं, थोड़ी देर \
     बाद, कुछ समय बाद, उत्तर नहीं दे, जवाब नहीं दे",
    )
});

/// "Never call me again", in so many words.
pub(super) static DO_NOT_CALL: Phrases = LazyLock::new(|| {
    with(
        indian::DO_NOT_CALL,
        "do not call, don't call, dont call, do not ever call, don't ever call, stop calling, stop all calls, stop the calls, \
     stop these calls, stop your calls, no more calls, never call, not call me again, do not contact, don't contact, dont \
     contact, stop contacting, never contact, do not phone, don't phone, do not ring me, don't ring me, remove my number, \
     delete my number, take me off, remove me from, unsubscribe, opt me out, call mat karna, call mat karo, call mat kijiye, \
     call mat kariye, call mat kiya, phone mat karna, phone mat karo, phone mat kijiye, phone mat kiya, fon mat karna, mat \
     call karna, mat karo call, mat karo phone, call na karo, call na kare, call na karen, call na karein, call na kijiye, \
     phone na karo, phone na kare, phone na karen, phone na karein, phone na kijiye, pareshan mat, contact mat, number hata \
     do, कॉल मत, फोन मत, फ़ोन मत, कॉल ना करें, कॉल न करें, कॉल ना करो, कॉल न करो, कॉल ना कीजिए, कॉल न कीजिए, फोन ना करें, फोन न करें, \
     फ़ोन ना करें, फ़ोन न करें, फोन ना करो, फोन न करो, फ़ोन न कीजिए, फोन न कीजिए, परेशान मत, संपर्क न करें, संपर्क मत, नंबर हटा",
    )
});

/// After a phrase of [`DO_NOT_CALL`] these say nothing new.
pub(super) static BESIDES: Phrases =
    LazyLock::new(|| phrases("me, us, here, please, karna, karo, kijiye, kariye, करना, करो, करें, कीजिए, कीजिये"));

/// After a phrase of [`DO_NOT_CALL`] these leave no doubt, whatever they begin with.
pub(super) static FOR_EVER: Phrases = LazyLock::new(|| {
    phrases(
        "at all, on this number, on this phone, on my number, on my phone, in future, in the future, at this number, again, \
     any more, anymore, ever",
    )
});

/// After a phrase of [`DO_NOT_CALL`] these make it a wish about the hour, not about for ever.
pub(super) static ONLY_A_TIME: Phrases = LazyLock::new(|| {
    phrases(
        "before, after, at, on, in, until, till, today, now, tomorrow, during, while, abhi, aaj, kal, subah, अभी, आज, \
     कल, सुबह",
    )
});

/// The same before it, as India's languages say it.
pub(super) static ONLY_A_TIME_BEFORE: Phrases =
    LazyLock::new(|| phrases("abhi, aaj, kal, subah, raat, shaam, dopahar, अभी, आज, कल, सुबह, रात, शाम, दोपहर"));

/// Before a phrase of [`DO_NOT_CALL`]: it is said of somebody else's calls.
pub(super) static OTHERS: Phrases = LazyLock::new(|| phrases("i, we, they, he, she"));

/// Digits and numbers as they are spoken.
pub(super) static NUMBER_WORDS: Phrases = LazyLock::new(|| {
    with(
        indian::NUMBER_WORDS,
        "zero, oh, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, \
     fifteen, sixteen, seventeen, eighteen, nineteen, twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety, \
     double, triple, hundred, ek, do, teen, char, chaar, paanch, panch, chhe, saat, aath, nau, das, bees, pachas, एक, \
     दो, तीन, चार, पाँच, पांच, छह, छः, सात, आठ, नौ, दस, बीस, पचास, शून्य",
    )
});
