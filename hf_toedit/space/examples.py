"""Texts to begin with; no Gradio."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A text by its name."""

    name: str
    text: str


EXAMPLES = (
    Example(
        "A story",
        "Once upon a time, there was a little girl named Lily. She lived in a small house with her mom and dad. One "
        "day, Lily went to the park with her mom. She saw a big red ball under a tree. \"Can I play with the ball?\" "
        "she asked. Her mom said, \"Yes, you can, but be careful.\" Lily was very happy. She kicked the ball, and it "
        "rolled down the hill. A little dog ran after the ball and brought it back to her. Lily and the dog became "
        "good friends, and they played together every day.",
    ),
    Example(
        "A recipe",
        "# Pancakes\n\nServes 4 · 20 minutes\n\n- 200 g flour\n- 2 eggs\n- 300 ml milk\n- a pinch of salt\n- butter, "
        "for the pan\n\n1. Put the flour and the salt in a bowl.\n2. Add the eggs and a little of the milk, and stir "
        "until there are no lumps.\n3. Stir in the rest of the milk. Let it stand for ten minutes.\n4. Melt a little "
        "butter in a pan. Pour in some of the mixture and tilt the pan so that it covers the bottom.\n5. When the top "
        "is dry, turn it over and cook the other side.\n\nServe hot, with lemon and sugar.",
    ),
    Example(
        "A letter",
        "Dear Mr. Okafor,\n\nThank you very much for your letter of 3 May and for the photographs of the old bridge. "
        "As soon as the weather is better, we will send two people to look at the foundations. On the one hand the "
        "arches seem to be in good condition; on the other hand nobody has seen the part below the water for more "
        "than fifty years.\n\nIf you have any questions, please do not hesitate to call me at 555-0142.\n\nYours "
        "sincerely,\nAgnes Lind",
    ),
    Example(
        "Some code",
        "def fibonacci(n):\n    \"\"\"Return the first n Fibonacci numbers.\"\"\"\n    numbers = []\n    a, b = 0, 1\n"
        "    for _ in range(n):\n        numbers.append(a)\n        a, b = b, a + b\n    return numbers\n\n\n"
        "for number in fibonacci(10):\n    print(number)\n",
    ),
)  # fmt: skip
