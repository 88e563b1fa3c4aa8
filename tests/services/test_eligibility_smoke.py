from tests.factories_screening import make_eligible
from tests.factories import make_world
from services.eligibility.decisions import eligibility_current
from services.core import clock
def test_a(session):
    w = make_world(session)
    e = make_eligible(session, world=w)
    assert eligibility_current(session, e.id, clock.now().date())
    session.commit()
