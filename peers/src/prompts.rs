//! Prompts of different kinds, whose greedy continuations and logits become golden values.
#![forbid(unsafe_code)]

/// One prompt.
pub(crate) struct Prompt {
    /// What it stands for: prose, code, numbers, script, chat.
    pub(crate) kind: &'static str,
    /// The text; the spelling of control tokens in it is read as those tokens.
    pub(crate) text: &'static str,
    /// Whether a sample of all logits after it is kept too.
    pub(crate) sampled: bool,
}

const fn prompt(kind: &'static str, text: &'static str) -> Prompt {
    Prompt { kind, text, sampled: false }
}

const fn sampled(kind: &'static str, text: &'static str) -> Prompt {
    Prompt { kind, text, sampled: true }
}

/// What the demo model's own template puts before the first message when there is no system message.
macro_rules! chat {
    ($text:literal) => {
        concat!(
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n",
            "<|im_start|>user\n",
            $text,
            "<|im_end|>\n<|im_start|>assistant\n"
        )
    };
}

/// The twenty prompts.
pub(crate) const PROMPTS: &[Prompt] = &[
    sampled("prose", "The lighthouse keeper climbed the stairs every evening, and"),
    prompt("prose", "Once upon a time, in a village between two rivers,"),
    prompt("prose", "Photosynthesis is the process by which"),
    prompt(
        "prose",
        "Dear Ms. Okafor,\n\nThank you for your letter of the third of May. We have looked into the delay of your order, and we \
         found that the parcel was held at the border because a form was missing. We are sorry for the trouble this has caused. ",
    ),
    prompt("prose", "It was raining. It was raining. It was raining. It was"),
    sampled("code", "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n    if n < 2:\n"),
    prompt("code", "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {\n"),
    prompt(
        "code",
        "fn largest(values: &[i32]) -> Option<i32> {\n    let mut best = None;\n    for value in values {\n",
    ),
    prompt("code", "SELECT name, COUNT(*) AS orders\nFROM customers\nJOIN orders ON"),
    prompt("code", "{\n  \"name\": \"bantam\",\n  \"version\": \"1.0.0\",\n  \"dependencies\": {\n"),
    prompt("numbers", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,"),
    prompt("numbers", "2 + 2 = 4\n3 + 3 = 6\n4 + 4 = 8\n5 + 5 ="),
    prompt("numbers", "Year | Population\n1990 | 12400\n2000 | 15810\n2010 | 19255\n2020 |"),
    prompt("script", "La tour Eiffel est située à Paris. Elle a été construite"),
    prompt("script", "Москва является столицей России, а"),
    prompt("script", "東京は日本の首都です。大阪は"),
    prompt("script", "¿Cuál es la capital de España? La capital de España es"),
    sampled("chat", chat!("What is the capital of France, and what is it known for?")),
    prompt("chat", chat!("Write three tips for sleeping better. 😴")),
    prompt(
        "chat",
        "<|im_start|>system\nYou answer in one short sentence.<|im_end|>\n<|im_start|>user\nWhy is the sky blue?<|im_end|>\n\
         <|im_start|>assistant\nBecause air scatters blue light more than red.<|im_end|>\n\
         <|im_start|>user\nAnd why is the sunset red?<|im_end|>\n<|im_start|>assistant\n",
    ),
];
