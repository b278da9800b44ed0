"""Which photographs there are and what people would write under them (sources: LICENSES.md)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SamplePhoto:
    """A photograph inside a package.

    Attributes:
        name: file name in the cache, without its extension.
        package: start of the archive's name.
        member: end of the path inside the archive.
        alt_text: what is to be seen.
        captions: at least two, for different uploads of it.
        tags: without `#`.
    """

    name: str
    package: str
    member: str
    alt_text: str
    captions: tuple[str, ...]
    tags: tuple[str, ...]


_HEIF = "pillow_heif"
_SKIMAGE = "scikit_image"
_SKLEARN = "scikit_learn"

PHOTOS: tuple[SamplePhoto, ...] = (
    SamplePhoto(
        "temple",
        _SKLEARN,
        "datasets/images/china.jpg",
        "A red and green pagoda above trees, a lake behind it",
        ("Temple roof above the lake", "Up all the stairs for this view", "Summer palace, early"),
        ("temple", "travel", "china"),
    ),
    SamplePhoto(
        "dahlia",
        _SKLEARN,
        "datasets/images/flower.jpg",
        "An orange dahlia in front of dark green leaves",
        ("First dahlia of the year", "Orange on green", "Look at that symmetry"),
        ("flowers", "garden", "macro"),
    ),
    SamplePhoto(
        "terrace",
        _HEIF,
        "heif_other/spatial_photo.heic",
        "A young tree in a red pot on a wooden terrace",
        ("It survived the move", "Repotted at last", "The terrace is getting greener"),
        ("plants", "garden", "home"),
    ),
    SamplePhoto(
        "cat_at_window",
        _HEIF,
        "heif_other/cat.hif",
        "A grey cat with green eyes on a window sill",
        ("She hears the fridge from here", "Window seat", "Afternoon light suits her"),
        ("cat", "pets", "catsofphotofeed"),
    ),
    SamplePhoto(
        "coffee",
        _SKIMAGE,
        "data/coffee.png",
        "An espresso in a red cup on a wooden table",
        ("Monday, second attempt", "Espresso before everything else", "Red cup kind of day"),
        ("coffee", "espresso", "morning"),
    ),
    SamplePhoto(
        "pug_in_bed",
        _HEIF,
        "heif_other/pug.heic",
        "A pug sitting upright in its basket, looking aside",
        ("He pretends not to see me", "Profile picture", "Bath day. He knows."),
        ("pug", "dog", "pets"),
    ),
    SamplePhoto(
        "rocket",
        _SKIMAGE,
        "data/rocket.jpg",
        "A rocket on its launch pad between lattice towers at dusk",
        ("T minus one night", "On the pad at dusk", "Worth the long drive"),
        ("space", "launch", "bluehour"),
    ),
    SamplePhoto(
        "ginger_cat",
        _SKIMAGE,
        "data/chelsea.png",
        "Close-up of a ginger tabby cat looking past the camera",
        ("Chelsea has seen something", "All whiskers", "Not amused"),
        ("cat", "portrait", "pets"),
    ),
    SamplePhoto(
        "ukulele",
        _HEIF,
        "heif_special/guitar_cw90.hif",
        "A ukulele lying in sunlight on a blue table by a window",
        ("Three chords and the sun", "Practice, said the window", "Slow Sunday"),
        ("music", "ukulele", "light"),
    ),
    SamplePhoto(
        "astronaut",
        _SKIMAGE,
        "data/astronaut.png",
        "A smiling astronaut in an orange suit, a model shuttle behind her",
        ("Eileen Collins, first woman to command a shuttle", "My hero, framed", "Orange suits her"),
        ("space", "nasa", "portrait"),
    ),
    SamplePhoto(
        "pug_smiling",
        _HEIF,
        "heif_other/empty_icc.heic",
        "The face of an old pug, very close, tongue out",
        ("Good morning to you too", "Twelve years old and still smiling", "Too close, mate"),
        ("pug", "dog", "smile"),
    ),
    SamplePhoto(
        "pen",
        _HEIF,
        "heif_special/xiaomi.heic",
        "The tip of a ballpoint pen on squared paper, magnified",
        (
            "Trying out a clip-on macro lens",
            "Mightier than it looks",
            "Squared paper, squared life",
        ),
        ("macro", "stationery", "blue"),
    ),
    SamplePhoto(
        "deep_field",
        _SKIMAGE,
        "data/hubble_deep_field.jpg",
        "Thousands of distant galaxies on black sky",
        ("Every dot a galaxy", "Feeling small tonight", "Ten days of exposure"),
        ("space", "hubble", "astronomy"),
    ),
    SamplePhoto(
        "pug_walking",
        _HEIF,
        "heif_other/invalid_id.heic",
        "A pug in a red harness walking over sand",
        ("Sand everywhere, no regrets", "Patrol", "He chose the way"),
        ("pug", "dog", "walk"),
    ),
)
