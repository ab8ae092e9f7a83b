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
    phrases(
        "number, phone, mobile, whatsapp, email, e mail, mail id, address, pin code, pincode, spell, date, what day, \
     which day, what time, when would, when can, kab, tareekh, tarikh, samay, नंबर, ईमेल, पता, कब, तारीख, किस दिन, \
     समय",
    )
});

/// What only machines say.
pub(super) static VOICEMAIL_CUES: Phrases = LazyLock::new(|| {
    phrases(
        "after the tone, after the beep, at the tone, at the beep, record your message, leave your message, leave a \
     message, leave me a message, leave your name, voicemail, voice mail, mailbox, mail box, voice message system, \
     answering machine, beep ke baad, tone ke baad, sandesh record, sandesh chhoden, sandesh chhodein, sandesh \
     chhod, बीप के बाद, टोन के बाद, संदेश छोड़ें, संदेश छोड़े, संदेश रिकॉर्ड",
    )
});

/// What machines say, and people too.
pub(super) static VOICEMAIL_SIGNS: Phrases = LazyLock::new(|| {
    phrases(
        "you've reached, you have reached, can't come to the phone, cannot come to the phone, unable to come to the \
     phone, unable to take your call, not available to take your call, can't take your call, cannot take your call, \
     get back to you, call you back as soon as, call has been forwarded, is not available, currently unavailable, \
     your name and number, name and number, apna sandesh, अपना संदेश",
    )
});

/// Of whom the network speaks.
pub(super) static ANNOUNCEMENT_SUBJECTS: Phrases = LazyLock::new(|| {
    phrases(
        "number you are, number you have, number you've, subscriber you are, subscriber you have, subscriber you've, \
     person you are, person you have, customer you are, customer you have, party you are, jis number, jis vyakti, jis \
     upbhokta, जिस नंबर, जिस नम्बर, जिस व्यक्ति, जिस उपभोक्ता, जिस ग्राहक",
    )
});

/// What the network says of them.
pub(super) static ANNOUNCEMENT_STATES: Phrases = LazyLock::new(|| {
    phrases(
        "switched off, not reachable, unreachable, out of coverage, out of network, coverage area, does not exist, not \
     in service, out of service, not in use, check the number, on another call, busy on another, is busy, currently \
     unavailable, not available at the moment, not responding, not answering, try again later, try after some time, \
     call after some time, call again later, dial again later, incoming calls, switch off hai, pahunch se bahar, \
     pahunch ke bahar, vyast hai, seva mein nahi, thodi der baad, स्विच ऑफ, बंद है, पहुँच के बाहर, पहुंच के बाहर, \
     पहुँच से बाहर, पहुंच से बाहर, व्यस्त है, सेवा में नहीं, मौजूद नहीं, थोड़ी देर बाद, कुछ समय बाद",
    )
});

/// "Never call me again", in so many words.
pub(super) static DO_NOT_CALL: Phrases = LazyLock::new(|| {
    with(
        indian::DO_NOT_CALL,
        "do not call, don't call, dont call, stop calling, never call, not call me again, remove my number, delete my \
     number, take me off, remove me from, unsubscribe, call mat karna, call mat karo, call mat kijiye, call mat \
     kariye, phone mat karna, phone mat karo, phone mat kijiye, fon mat karna, mat call karna, कॉल मत, फोन मत, फ़ोन \
     मत",
    )
});

/// After a phrase of [`DO_NOT_CALL`] these make it a wish about the hour, not about for ever.
pub(super) static ONLY_A_TIME: Phrases = LazyLock::new(|| {
    phrases(
        "before, after, at, on, in, until, till, today, now, tomorrow, during, while, abhi, aaj, kal, subah, अभी, आज, \
     कल, सुबह",
    )
});

/// Digits and numbers as they are spoken.
pub(super) static NUMBER_WORDS: Phrases = LazyLock::new(|| {
    phrases(
        "zero, oh, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, \
     fifteen, sixteen, seventeen, eighteen, nineteen, twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety, \
     double, triple, hundred, ek, do, teen, char, chaar, paanch, panch, chhe, saat, aath, nau, das, bees, pachas, एक, \
     दो, तीन, चार, पाँच, पांच, छह, छः, सात, आठ, नौ, दस, बीस, पचास, शून्य",
    )
});
