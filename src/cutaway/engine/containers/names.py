"""Names for containers that nobody named: an adjective and a surname, ``brave_lamarr``."""

import random
from collections.abc import Container as Collection

# Moods and manners that are kind to whoever reads them in a log at night.
_ADJECTIVES = (
    "able adept agile airy alert amber ample apt artful astute awake balmy benign blithe bold "
    "brave breezy bright brisk calm candid casual cheery civil clear clever comic coral cosy "
    "crisp curious dapper daring deft dewy eager earnest easy elated epic exact expert fair fancy "
    "fervent festive fleet fluent fond frank free fresh gallant genial gentle gifted glad golden "
    "grand happy hardy hearty honest humble ideal jaunty jolly jovial keen kind lively logical "
    "loyal lucid lucky lunar mellow merry mighty mindful modest neat nifty nimble noble patient "
    "peppy placid poetic polite proud prudent quaint quick quiet radiant ready regal robust rosy "
    "sage sane serene silver sincere snappy solar spry stable steady stellar stoic subtle sunny "
    "sure swift tactful tender thrifty tidy tranquil trusty upbeat valiant vivid warm wise witty "
    "zealous zesty"
)
ADJECTIVES = tuple(_ADJECTIVES.split())

# People to whom anyone who computes, measures or heals owes something.
_SURNAMES = (
    "abbe adams aiken alhazen allen arago avery backus banach barbour bartlett bechler becker "
    "berezin berners birkhoff bjerknes bloch boole borg braille brattain brunel bush cajal cardano "
    "cassini cauchy cavendish celsius cerf cheng church clarke cocke codd conrad corbato cray "
    "curie dahl daguerre davy deming diffie dijkstra doppler dorsey drew eames eckert ehrlich "
    "engelbart ensmenger erikson euler farnsworth fibonacci fisher flamsteed floyd forrester "
    "foucault fresnel friis galton galvani gelfand gibbs godel golgi gosset gray grosseteste "
    "haber halley hamming haskell heaviside hellman hensel herschel hilbert hollerith hooke hopper "
    "huffman huygens ingalls ivers jacquard jansky jenner joule kalman karp kay kelvin kildall "
    "kilburn kleene knuth koch kovalevsky lagrange lamport landau landin lax leeuwenhoek legendre "
    "lenstra liskov lovelace luhn mandelbrot marconi markov mauchly mccluskey mead mercator "
    "metcalfe milner minsky moler morland napier naur neumann nygaard oersted ostrom papert "
    "pascal patterson peano perlis postel quine ramo rayleigh reynolds riemann ritchie rontgen "
    "rosenblatt rossby sagan salk sanger scott shamir shannon siemens simon stibitz stokes "
    "strachey sutherland szilard tarjan tesla thacker tukey turing ulam vapnik vaughan venn "
    "vinton wald watt weierstrass wheeler wiener wilkes wirth yao young zuse"
)
SURNAMES = tuple(_SURNAMES.split())


def generate_name(taken: Collection[str], chooser: random.Random | None = None) -> str:
    """Return an ``adjective_surname`` that is not in ``taken``; a digit is added when unlucky.

    Args:
        taken: the names in use.
        chooser: the source of chance; a seeded one makes a test repeatable.
    """
    choose = (chooser or random).choice
    for attempt in range(64):
        name = f"{choose(ADJECTIVES)}_{choose(SURNAMES)}"
        if attempt:
            name += str(attempt % 10)
        if name not in taken:
            return name
    while True:
        name = f"{choose(ADJECTIVES)}_{choose(SURNAMES)}{(chooser or random).randrange(10**6)}"
        if name not in taken:
            return name
