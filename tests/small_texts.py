"""Small language models of every family, as folders: a configuration and the files of one tokenizer of words.

Written as plain JSON, since importing the library for it would cost every test process seconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (*SPECIAL, "bad", "bold", "dull", "film", "fine", "good", "is", "not", "poor", "so", "the", "very")
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
STACKS: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 64,
    "decoder_start_token_id": 3,
    "eos_token_id": 3,
    "bos_token_id": 2,
    "forced_eos_token_id": None,
}
WINDOWED = {"num_key_value_heads": 1, "eos_token_id": 3, "bos_token_id": 2}
MODELS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES | {"type_vocab_size": 1},
    "electra": SIZES | {"embedding_size": 8},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 64},
    "deberta-v2": SIZES
    | {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "conv_kernel_size": 3,
        "pooler_hidden_size": 16,
        "type_vocab_size": 0,
    },
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "eos_token_id": 3, "bos_token_id": 2},
    "llama": SIZES | WINDOWED,
    "qwen2": SIZES | WINDOWED,
    "mistral": SIZES | WINDOWED | {"sliding_window": 4},
    "t5": {
        "eos_token_id": 3,
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
    "bart": STACKS,
    "mbart": STACKS,
    "marian": STACKS,
}


def tokenizer() -> dict[str, Any]:
    """Words and marks, each a token, between [CLS] and [SEP]."""
    marks = [{"id": name, "type_id": 0} for name in ("[CLS]", "[SEP]")]
    ids = {name: {"id": name, "ids": [WORDS.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}

    def of(name: str, part: int) -> dict[str, Any]:
        return {name: {"id": "A" if part == 0 and name == "Sequence" else "B", "type_id": part}}

    begin, end = ({"SpecialToken": mark} for mark in marks)
    again = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": word, "special": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            for i, word in enumerate(SPECIAL)
        ],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, of("Sequence", 0), end],
            "pair": [begin, of("Sequence", 0), end, of("Sequence", 1), again],
            "special_tokens": ids,
        },
        "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(WORDS)}, "unk_token": "[UNK]"},
    }


def write_tags(file: Path) -> None:
    """Write 128 sentences of four words; a bad or dull film, or an even worse one of two words, has a tag."""
    names = WORDS[len(SPECIAL) :]
    worse = {"bad": "B-LOW", "dull": "B-LOW", "bold": "B-HIGH", "fine": "B-HIGH", "good": "B-HIGH"}
    sentences = []
    for i in range(128):
        words = [names[(i * step + i // 5) % len(names)] for step in (1, 3, 5, 7)]
        tags = [worse.get(word, "O") for word in words]
        tags = [f"I-{t[2:]}" if i and t != "O" and tags[i - 1] == t else t for i, t in enumerate(tags)]
        sentences.append("".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)))
    file.write_text("\n".join(sentences))


def write_questions(file: Path) -> None:
    """Write 128 questions of two words on texts of eight: which one comes behind a word? Of the last one none does."""
    names, rows = WORDS[len(SPECIAL) :], []
    for i in range(128):
        words = [names[(i * 5 + i // 12 + step) % len(names)] for step in range(8)]
        text, at = " ".join(words), i * 3 % 8
        answers = {
            "text": words[at + 1 : at + 2],
            "answer_start": [len(" ".join(words[: at + 1])) + 1] if at < 7 else [],
        }
        rows.append({"question": f"is {words[at]}", "context": text, "answers": answers})
    file.write_text("\n".join(map(json.dumps, rows)))


def write_models(folder: Path) -> None:
    """Write every model into a folder of its own below one, and beside them texts, words with tags, and questions.

    The table has 128 texts of four words, in five classes that the first word tells.
    """
    write_tags(folder / "tags.conll")
    write_questions(folder / "questions.jsonl")
    names = WORDS[len(SPECIAL) :]
    texts = [f"{names[i % 5]} {names[5 + i % 3]} {names[8 + i % 2]} {names[i // 10 % 10]}" for i in range(128)]
    rows = [f"{text},{'abcde'[i % 5]}" for i, text in enumerate(texts)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    for name, sizes in MODELS.items():
        own = folder / name
        own.mkdir(parents=True)
        config = {
            "model_type": name,
            "vocab_size": len(WORDS) + 1,
            "pad_token_id": 0,
            "tokenizer_class": "TokenizersBackend",
        }
        (own / "config.json").write_text(json.dumps(config | sizes))
        (own / "tokenizer.json").write_text(json.dumps(tokenizer()))
        said = {
            "tokenizer_class": "TokenizersBackend",
            "unk_token": "[UNK]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
        }
        said |= {"sep_token": "[SEP]", "mask_token": "[MASK]", "model_max_length": 64}
        both = ["input_ids", "token_type_ids", "attention_mask"] if name == "bert" else ["input_ids", "attention_mask"]
        (own / "tokenizer_config.json").write_text(json.dumps(said | {"model_input_names": both}))
