"""The peer of `text_epoch.py`: ProKT of a BERT into a bi-LSTM in plain PyTorch and transformers.

As a user would write it: texts tokenized once, batches padded to their longest text, packed
sequences so that the LSTM sees no padding, fused AdamW with a linear schedule and clipped
gradients. Batches are random, or of similar lengths in random order.
"""

import torch
from pytorch_prokt import divergence
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, rnn
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    get_linear_schedule_with_warmup,
)


class BiLSTM(nn.Module):
    def __init__(self, vocabulary_size, classes=2, width=300, dropout=0.4):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, classes)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, input_ids, attention_mask):
        x = self.dropout(self.embedding(input_ids))
        lengths = attention_mask.sum(1).cpu()
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, padding_value=float("-inf")
        )
        return self.head(states.max(1).values)


def batches_by_length(rows, batch_size, group=50):
    """Random rows, sorted by length within groups of batches; the batches in random order."""
    order, batches = torch.randperm(len(rows)).tolist(), []
    for start in range(0, len(order), group * batch_size):
        part = order[start : start + group * batch_size]
        part.sort(key=lambda row: len(rows[row]["input_ids"]))
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]


class TextProKT:
    """Algorithm 1 of ProKT over endless shuffled epochs; `step` takes one step."""

    def __init__(self, preset, texts, labels, batch_size=32, *, by_length=False, epochs=6):
        tokenizer = AutoTokenizer.from_pretrained(preset)
        tokens = tokenizer(texts, truncation=True, max_length=128)
        rows = [
            {"input_ids": ids, "labels": label}
            for ids, label in zip(tokens["input_ids"], labels, strict=True)
        ]
        order = {"batch_size": batch_size, "shuffle": True}
        if by_length:
            order = {"batch_sampler": batches_by_length(rows, batch_size)}
        self.loader = DataLoader(rows, collate_fn=DataCollatorWithPadding(tokenizer), **order)
        self.batches = iter(self.loader)
        self.teacher = AutoModelForSequenceClassification.from_pretrained(preset, num_labels=2)
        self.student = BiLSTM(len(tokenizer))
        self.weight = 0.3
        self.optimizers, self.schedules = [], []
        for model, rate in ((self.teacher, 3e-5), (self.student, 1e-3)):
            model.train()
            optimizer = torch.optim.AdamW(
                model.parameters(), lr=rate, eps=1e-8, weight_decay=0.0, fused=True
            )
            steps = epochs * len(self.loader)
            self.optimizers.append(optimizer)
            self.schedules.append(get_linear_schedule_with_warmup(optimizer, 0, steps))

    def next_batch(self):
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)

    def step(self):
        """One step; returns the number of examples."""
        batch = self.next_batch()
        ids, mask, labels = (batch[name] for name in ("input_ids", "attention_mask", "labels"))
        with torch.no_grad():
            self.student.eval()
            q = self.student(ids, mask)
            self.student.train()
        logits = self.teacher(ids, attention_mask=mask).logits
        loss = (1 - self.weight) * F.cross_entropy(logits, labels)
        self._update(0, self.teacher, loss + self.weight * divergence(q, logits))
        with torch.no_grad():
            self.teacher.eval()
            p = self.teacher(ids, attention_mask=mask).logits
            self.teacher.train()
        loss = divergence(p, self.student(ids, mask))
        self._update(1, self.student, loss)
        loss.item()
        return len(labels)

    def _update(self, number, model, loss):
        self.optimizers[number].zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        self.optimizers[number].step()
        self.schedules[number].step()
