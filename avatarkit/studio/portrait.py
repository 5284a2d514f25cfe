"""The drawn presenter: head and shoulders before a soft studio background, in smooth curves and soft shades.

Everything is drawn in design units, 720 wide, with the face centred on x = 360; the drawing is scaled to the
picture asked for. Geometry that the animation needs (eyes, mouth, head) is known here exactly, see
:func:`draw_portrait`.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from avatarkit.studio.canvas import CENTRE, Canvas, Color, Point, mirrored, mix, smooth
from avatarkit.studio.face import Box, Face
from avatarkit.studio.looks import Look, long_hair_behind, long_hair_front, short_hair

# Right half of the face, from the hairline down to the chin.
_FACE: tuple[Point, ...] = (
    (0, 306),
    (68, 316),
    (108, 362),
    (121, 432),
    (117, 500),
    (101, 566),
    (68, 618),
    (30, 645),
)
_SHIRT: Color = (250, 249, 246)
_HEADROOM = 70.0  # design units cut off above the head
_EYE_X, _EYE_Y, _MOUTH_Y, _MOUTH_HALF = 54.0, 464.0, 584.0, 43.0


def draw_portrait(seed: int, size: tuple[int, int]) -> tuple[Image.Image, Face]:
    """Draw the presenter of *seed* in *size* pixels; the second value says where the face is in it."""
    width, height = size
    scale = min(width / 720, height / 1000)
    origin = (width / 2 - CENTRE * scale, max(0.0, (height - 1280 * scale) / 2) - _HEADROOM * scale)
    over = 2 if scale <= 1.5 else 1
    canvas = Canvas((width * over, height * over), scale * over, (origin[0] * over, origin[1] * over))
    look = Look(seed)
    _background(canvas, look)
    if look.long_hair:
        long_hair_behind(canvas, look)
    _body(canvas, look)
    _head(canvas, look)
    _features(canvas, look)
    (long_hair_front if look.long_hair else short_hair)(canvas, look)
    image = canvas.image.resize(size, Image.Resampling.LANCZOS) if over > 1 else canvas.image
    return image, _face(scale, origin)


def _face(scale: float, origin: Point) -> Face:
    def box(x: float, y: float, half_width: float, half_height: float) -> Box:
        left, top = origin[0] + (x - half_width) * scale, origin[1] + (y - half_height) * scale
        return Box(left, top, 2 * half_width * scale, 2 * half_height * scale)

    return Face(
        head=box(CENTRE, 470, 150, 200),
        mouth=box(CENTRE, _MOUTH_Y, _MOUTH_HALF, 14),
        eyes=(box(CENTRE - _EYE_X, _EYE_Y, 27, 15), box(CENTRE + _EYE_X, _EYE_Y, 27, 15)),
        drawn=True,
    )


def _background(canvas: Canvas, look: Look) -> None:
    width, height = canvas.image.size
    light, dark = np.array(look.wall[0], float), np.array(look.wall[1], float)
    y, x = np.mgrid[0:64, 0:64] / 63.0
    far = np.clip(np.hypot((x - 0.42) * 0.9, (y - 0.26) * 0.8) / 0.85, 0, 1)[..., None] ** 1.2
    small = Image.fromarray((light + (dark - light) * far).astype(np.uint8))
    canvas.image.paste(small.resize((width, height), Image.Resampling.BICUBIC))
    # Out-of-focus room: a window's light, a shelf, a lamp.
    pale, dim = mix(look.wall[0], (255, 255, 255), 0.75), mix(look.wall[1], (70, 80, 100), 0.22)
    canvas.fill([(40, 90), (190, 70), (190, 560), (40, 600)], pale, blur=16, opacity=0.75)
    canvas.fill([(110, 60), (120, 60), (120, 620), (110, 620)], dim, blur=6, opacity=0.35)
    canvas.fill([(30, 320), (200, 305), (200, 315), (30, 332)], dim, blur=6, opacity=0.3)
    for top, books in ((250, (38, 64, 50, 70)), (470, (60, 44, 72, 52))):
        canvas.fill([(560, top), (760, top), (760, top + 12), (560, top + 12)], dim, blur=7, opacity=0.55)
        for number, high in enumerate(books):
            left = 584 + number * 32
            tint = mix(dim, ((190, 120, 90), (90, 130, 150), (214, 190, 140), (120, 140, 110))[number], 0.5)
            outline = [(left, top - high), (left + 22, top - high), (left + 22, top), (left, top)]
            canvas.fill(outline, tint, blur=6, opacity=0.6)


def _body(canvas: Canvas, look: Look) -> None:
    neck_half = 52 if look.long_hair else 60
    wide = 0 if look.long_hair else 26
    coat = (
        (56, 722),
        (104, 744),
        (172 + wide, 772),
        (222 + wide, 818),
        (246 + wide, 920),
        (262 + wide, 1100),
        (268 + wide, 1500),
    )
    outline = smooth(mirrored(coat))
    canvas.fill(outline, (30, 36, 50), blur=22, opacity=0.22)
    body = canvas.fill(outline, look.cloth)
    light, dark = mix(look.cloth, (255, 255, 255), 0.16), mix(look.cloth, (0, 0, 0), 0.38)
    canvas.fill(canvas.oval(205, 900, 90, 190), light, blur=46, within=body, opacity=0.7)
    canvas.fill(canvas.oval(612, 1040, 80, 330), dark, blur=50, within=body, opacity=0.7)
    canvas.fill([(150, 1040), (166, 1040), (190, 1500), (140, 1500)], dark, blur=10, within=body, opacity=0.6)
    canvas.fill([(556, 1040), (570, 1040), (580, 1500), (536, 1500)], dark, blur=10, within=body, opacity=0.6)
    shirt = canvas.fill([(296, 716), (424, 716), (452, 800), (366, 1180), (354, 1180), (268, 800)], _SHIRT)
    skin = canvas.fill(
        smooth(
            mirrored(
                ((neck_half, 590), (neck_half - 2, 660), (neck_half + 8, 716), (70, 742), (34, 800), (4, 846))
            )
        ),
        look.skin,
    )
    _neck_shadow(canvas, look, skin)
    canvas.fill(
        [(372, 880), (470, 800), (400, 1180), (360, 1180)],
        (206, 212, 222),
        blur=14,
        within=shirt,
        opacity=0.6,
    )
    _collar_and_lapels(canvas, look, body)
    if look.long_hair:
        canvas.line([(318, 730), (338, 792), (360, 812), (382, 792), (402, 730)], (214, 178, 110), 2.4)
        canvas.fill(canvas.oval(360, 816, 6, 7), (232, 200, 138))


def _collar_and_lapels(canvas: Canvas, look: Look, body: Image.Image) -> None:
    for side in (-1, 1):

        def at(x: float, y: float, side: int = side) -> Point:
            return (CENTRE + side * x, y)

        collar = [at(58, 706), at(82, 742), at(62, 812), at(4, 850), at(40, 790)]
        canvas.fill(collar, (120, 126, 140), blur=7, within=body, opacity=0.35)
        canvas.fill(collar, mix(_SHIRT, (214, 220, 230), 0.0 if side < 0 else 0.45))
        lapel = [
            at(66, 728),
            at(128, 768),
            at(150, 862),
            at(116, 872),
            at(132, 900),
            at(2, 1200),
            at(64, 850),
        ]
        canvas.fill(lapel, (8, 12, 20), blur=9, within=body, opacity=0.4)
        canvas.fill(lapel, mix(look.cloth, (255, 255, 255), 0.11 if side < 0 else 0.04))
        canvas.line([at(66, 730), at(62, 850), at(2, 1196)], mix(look.cloth, (0, 0, 0), 0.38), 3)


def _neck_shadow(canvas: Canvas, look: Look, skin: Image.Image) -> None:
    under_chin = smooth(mirrored(((120, 560), (80, 650), (56, 690), (0, 712))))
    canvas.fill(under_chin, look.shade, blur=9, within=skin, opacity=0.85)
    for side in (-1, 1):
        bone = [(CENTRE + side * 12, 764), (CENTRE + side * 34, 752), (CENTRE + side * 58, 746)]
        canvas.line(bone, look.shade, 5, blur=2.5, opacity=0.6)


def _head(canvas: Canvas, look: Look) -> None:
    for side in (-1, 1):
        x = CENTRE + side * 122
        canvas.fill(canvas.oval(x, 474, 17, 34), mix(look.skin, look.shade, 0.45))
        canvas.fill(canvas.oval(x, 476, 8, 20), look.shade, blur=4, opacity=0.8)
        if look.long_hair:
            canvas.fill(canvas.oval(x + side * 2, 514, 5, 5), (236, 206, 146))
    face = canvas.fill(smooth(mirrored((*_FACE, (0, 651)))), look.skin)
    light = mix(look.skin, (255, 250, 240), 0.5)
    canvas.fill(canvas.oval(470, 520, 52, 190), look.shade, blur=26, within=face, opacity=0.55)
    canvas.fill(canvas.oval(246, 560, 22, 110), look.shade, blur=20, within=face, opacity=0.32)
    canvas.fill(canvas.oval(360, 664, 80, 18), look.shade, blur=10, within=face, opacity=0.5)
    canvas.fill(canvas.oval(346, 372, 66, 34), light, blur=24, within=face, opacity=0.75)
    canvas.fill(canvas.oval(358, 498, 9, 44), light, blur=8, within=face, opacity=0.7)
    blush = mix(look.skin, (226, 104, 100), 0.5)
    for side in (-1, 1):
        canvas.fill(canvas.oval(CENTRE + side * 72, 528, 30, 19), blush, blur=14, within=face, opacity=0.6)
        canvas.fill(
            canvas.oval(CENTRE + side * _EYE_X, 450, 40, 24), look.shade, blur=11, within=face, opacity=0.5
        )


def _features(canvas: Canvas, look: Look) -> None:
    brow = mix(look.hair, look.skin, 0.12)
    for side in (-1, 1):
        _eye(canvas, look, side)
        x = CENTRE + side * _EYE_X
        arch = 9 if look.long_hair else 5
        canvas.line(
            [(x - side * 30, 427), (x + side * 2, 425 - arch), (x + side * 34, 428)],
            brow,
            9 if look.long_hair else 12,
        )
    # The nose: a soft side shade, two nostrils and the wing curves.
    canvas.fill([(372, 452), (384, 470), (386, 532), (372, 528)], look.shade, blur=8, opacity=0.55)
    canvas.fill(canvas.oval(361, 541, 24, 9), look.shade, blur=6, opacity=0.7)
    for side in (-1, 1):
        x = CENTRE + side * 10
        canvas.fill(canvas.oval(x, 542, 5.5, 3.2), look.deep, blur=1.2, opacity=0.85)
        wing = [(CENTRE + side * 19, 524), (CENTRE + side * 23.5, 535), (CENTRE + side * 18, 543)]
        canvas.line(wing, look.deep, 2.6, blur=0.8, opacity=0.6)
    canvas.fill(canvas.oval(357, 531, 7, 5), mix(look.skin, (255, 255, 255), 0.75), blur=3, opacity=0.7)
    _mouth(canvas, look)


def _eye(canvas: Canvas, look: Look, side: int) -> None:
    x, y = CENTRE + side * _EYE_X, _EYE_Y

    def at(dx: float, dy: float) -> Point:
        return (x + side * dx, y + dy)

    # From the inner corner over the top to the outer corner and back.
    almond = smooth(
        [at(-26, 4), at(-13, -10), at(3, -14), at(18, -9), at(27, -1), at(16, 9), at(0, 12.5), at(-15, 9)]
    )
    white = canvas.fill(almond, (250, 248, 246))
    canvas.fill(canvas.oval(x, y - 16, 32, 10), (150, 140, 150), blur=4, within=white, opacity=0.75)
    canvas.fill(canvas.oval(x, y - 0.5, 13.2, 13.2), mix(look.iris, (10, 8, 10), 0.55), within=white)
    canvas.fill(canvas.oval(x, y - 0.5, 11.6, 11.6), look.iris, within=white)
    canvas.fill(
        canvas.oval(x, y + 5, 9, 6), mix(look.iris, (235, 190, 130), 0.5), blur=3, within=white, opacity=0.8
    )
    canvas.fill(canvas.oval(x, y - 0.5, 5.6, 5.6), (14, 10, 12), within=white)
    canvas.fill(canvas.oval(x - 4.5, y - 5.5, 3.4, 3.4), (255, 255, 255))
    canvas.fill(canvas.oval(x + 4, y + 4, 1.6, 1.6), (255, 255, 255), opacity=0.8)
    lash = mix(look.hair, (14, 10, 12), 0.6)
    canvas.line([at(-27, 4.5), at(-13, -10.5), at(3, -14.5), at(18, -9.5), at(30, -3)], lash, 5.5)
    if look.long_hair:
        canvas.line([at(20, -8), at(27, -7), at(34, -12)], lash, 3.2)
    canvas.line([at(-22, -8), at(-8, -20), at(8, -22.5), at(26, -13)], look.deep, 2.4, blur=0.8, opacity=0.6)
    canvas.line([at(-15, 10), at(0, 13.6), at(17, 9.6)], look.deep, 1.8, blur=0.6, opacity=0.55)


def _mouth(canvas: Canvas, look: Look) -> None:
    x, y, half = CENTRE, _MOUTH_Y, _MOUTH_HALF
    canvas.fill(canvas.oval(x, y + 26, 24, 6), look.shade, blur=5, opacity=0.7)
    upper = [
        (x - half, y - 6),
        (x - 22, y - 9),
        (x - 8, y - 13.5),
        (x, y - 11),
        (x + 8, y - 13.5),
        (x + 22, y - 9),
    ]
    upper += [(x + half, y - 6), (x + 18, y + 2), (x, y + 2.5), (x - 18, y + 2)]
    lower = [(x - half + 3, y - 5), (x - 18, y + 1), (x, y + 1.5), (x + 18, y + 1), (x + half - 3, y - 5)]
    lower += [(x + 24, y + 11), (x, y + 17), (x - 24, y + 11)]
    lips = canvas.fill(smooth(lower), look.lip)
    canvas.fill(smooth(upper), mix(look.lip, (120, 30, 50), 0.2))
    canvas.fill(
        canvas.oval(x - 4, y + 9, 14, 3),
        mix(look.lip, (255, 255, 255), 0.6),
        blur=2.5,
        within=lips,
        opacity=0.7,
    )
    line = mix(look.lip, (70, 16, 28), 0.62)
    canvas.line(
        [(x - half - 3, y - 8.5), (x - 20, y + 0.5), (x, y + 2), (x + 20, y + 0.5), (x + half + 3, y - 8.5)],
        line,
        3,
    )
    for side in (-1, 1):
        canvas.fill(canvas.oval(x + side * (half + 5), y - 9, 4, 4), look.shade, blur=2.5, opacity=0.6)
