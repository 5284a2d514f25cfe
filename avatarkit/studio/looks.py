"""What makes one presenter differ from another: colours and hair, chosen by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from PIL import Image, ImageChops

from avatarkit.studio.canvas import Canvas, Color, Point, mirrored, mix, smooth, with_ends

_SKINS: tuple[Color, ...] = (
    (247, 213, 190),
    (240, 199, 168),
    (226, 178, 142),
    (188, 136, 102),
    (141, 95, 70),
)
_HAIRS: tuple[Color, ...] = ((46, 34, 32), (74, 49, 38), (104, 68, 44), (30, 30, 38), (139, 98, 60))
_CLOTHES: tuple[Color, ...] = ((44, 62, 92), (58, 84, 86), (92, 62, 84), (70, 74, 88), (132, 84, 66))
_WALLS: tuple[tuple[Color, Color], ...] = (
    ((226, 235, 243), (164, 186, 208)),
    ((243, 234, 224), (206, 182, 160)),
    ((228, 240, 234), (160, 194, 182)),
    ((238, 232, 244), (182, 170, 206)),
)


class Look:
    """The colours and the hair of one presenter, chosen by the seed."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed * 7919 + 17)  # noqa: S311 - looks, not secrets
        self.skin = _SKINS[(seed + 4) % 5 if seed > 1 else 0]
        self.hair = chance.choice(_HAIRS) if seed > 1 else _HAIRS[1]
        self.cloth = chance.choice(_CLOTHES) if seed > 1 else _CLOTHES[0]
        self.wall = chance.choice(_WALLS) if seed > 1 else _WALLS[0]
        self.long_hair = seed % 2 == 1
        self.iris: Color = (
            chance.choice(((74, 52, 40), (66, 84, 70), (72, 92, 120))) if seed > 1 else (84, 58, 42)
        )
        self.shade = mix(self.skin, (150, 70, 60), 0.30)
        self.deep = mix(self.skin, (110, 50, 48), 0.48)
        self.lip = mix(self.skin, (196, 70, 82), 0.62 if self.long_hair else 0.34)


def _strands(canvas: Canvas, look: Look, within: Image.Image, paths: Sequence[Sequence[Point]]) -> None:
    light, dark = mix(look.hair, (255, 226, 190), 0.3), mix(look.hair, (0, 0, 0), 0.45)
    for number, path in enumerate(paths):
        bright = number % 2 == 0
        tone, width = (light, 12.0) if bright else (dark, 8.0)
        points = smooth(with_ends(path), closed=False)
        outline = points + [(px + width, py) for px, py in reversed(points)]
        canvas.fill(outline, tone, blur=4, within=within, opacity=0.5 if bright else 0.6)


def long_hair_behind(canvas: Canvas, look: Look) -> None:
    """The long hair that hangs behind neck and shoulders; painted before the body."""
    half = (
        (0, 240),
        (90, 256),
        (146, 330),
        (160, 440),
        (164, 560),
        (176, 660),
        (168, 740),
        (120, 776),
        (60, 740),
    )
    outline = smooth(mirrored(half))
    canvas.fill(outline, (30, 30, 40), blur=18, opacity=0.2)
    mask = canvas.fill(outline, mix(look.hair, (0, 0, 0), 0.28))
    _strands(
        canvas,
        look,
        mask,
        [
            [(214, 420), (206, 560), (200, 660), (216, 760)],
            [(236, 560), (226, 660), (240, 764)],
            [(500, 420), (506, 560), (512, 660), (496, 760)],
            [(480, 560), (488, 660), (470, 764)],
        ],
    )


def long_hair_front(canvas: Canvas, look: Look) -> None:
    """The long hair that frames the face; painted last."""
    # Parted on the (viewer's) left; one sweep to each side, framing the face.
    right = [
        (330, 238),
        (420, 246),
        (492, 302),
        (520, 400),
        (526, 520),
        (532, 610),
        (516, 700),
        (488, 640),
        (480, 560),
    ]
    right += [(476, 480), (462, 410), (424, 362), (372, 330), (322, 296)]
    left = [
        (336, 240),
        (262, 262),
        (212, 330),
        (198, 430),
        (196, 540),
        (188, 620),
        (204, 704),
        (232, 640),
        (240, 560),
    ]
    left += [(243, 480), (252, 414), (278, 362), (306, 326), (326, 296)]
    for outline in (left, right):
        curve = smooth(outline)
        canvas.fill([(px, py + 7) for px, py in curve], (60, 30, 24), blur=7, opacity=0.3)
        canvas.fill(curve, look.hair)
    both = ImageChops.lighter(canvas.mask(smooth(left)), canvas.mask(smooth(right)))
    _strands(
        canvas,
        look,
        both,
        [
            [(350, 262), (430, 300), (484, 380), (500, 500), (508, 640)],
            [(350, 290), (410, 322), (460, 378), (484, 460), (492, 560)],
            [(400, 256), (470, 310), (506, 400), (514, 520), (520, 650)],
            [(380, 300), (440, 342), (474, 410), (486, 520), (496, 660)],
            [(300, 262), (246, 320), (222, 410), (212, 520), (202, 650)],
            [(314, 290), (268, 342), (240, 420), (230, 520), (220, 640)],
        ],
    )


def short_hair(canvas: Canvas, look: Look) -> None:
    """Short hair, brushed to one side; painted last."""
    outline = [(244, 452), (234, 400), (232, 340), (252, 286), (302, 250), (366, 238), (430, 246), (474, 286)]
    outline += [
        (490, 342),
        (486, 402),
        (476, 452),
        (470, 416),
        (464, 376),
        (440, 346),
        (396, 340),
        (340, 350),
    ]
    outline += [(296, 342), (268, 352), (256, 384), (250, 418)]
    curve = smooth(outline)
    canvas.fill([(px, py + 7) for px, py in curve], (60, 30, 24), blur=6, opacity=0.3)
    mask = canvas.fill(curve, look.hair)
    _strands(
        canvas,
        look,
        mask,
        [
            [(270, 330), (310, 286), (380, 262), (440, 280)],
            [(262, 350), (300, 316), (350, 300), (410, 304)],
            [(300, 330), (350, 304), (420, 300), (466, 340)],
            [(244, 400), (246, 360), (262, 320)],
        ],
    )
